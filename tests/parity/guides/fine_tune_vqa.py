"""Fine-tune ViLT to answer questions, in the steps of the published guide to visual question answering.

Reads `questions.json` (rows of image, question, and answers with their weights); leaves the folder `vilt_finetuned`.
"""

import itertools
import json
from pathlib import Path

import torch
from PIL import Image
from transformers import DefaultDataCollator, Trainer, TrainingArguments, pipeline

from vilt import ViltForQuestionAnswering, ViltProcessor

checkpoint = "dandelin/vilt-b32-mlm"
rows = json.loads(Path("questions.json").read_text())

answers = list(dict.fromkeys(itertools.chain(*(row["answers"] for row in rows))))
label2id = {answer: index for index, answer in enumerate(answers)}
id2label = {index: answer for answer, index in label2id.items()}

processor = ViltProcessor.from_pretrained(checkpoint)


def preprocess(batch):
    """The pictures and questions of some rows, prepared at once, with a soft score for every answer."""
    images = [Image.open(row["image"]) for row in batch]
    texts = [row["question"] for row in batch]
    encoding = processor(images, texts, padding="max_length", truncation=True, return_tensors="pt")
    for name, value in encoding.items():
        encoding[name] = value.squeeze()
    targets = []
    for row in batch:
        target = torch.zeros(len(id2label))
        for answer, weight in row["answers"].items():
            target[label2id[answer]] = weight
        targets.append(target)
    encoding["labels"] = targets
    return encoding


columns = preprocess(rows)
dataset = [{name: column[i] for name, column in columns.items()} for i in range(len(rows))]

model = ViltForQuestionAnswering.from_pretrained(
    checkpoint, num_labels=len(id2label), id2label=id2label, label2id=label2id
)

trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir="vilt_finetuned",
        per_device_train_batch_size=4,
        num_train_epochs=30,
        save_steps=30,
        logging_steps=10,
        learning_rate=5e-3,
        save_total_limit=2,
        remove_unused_columns=False,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    ),
    data_collator=DefaultDataCollator(),
    train_dataset=dataset,
    processing_class=processor,
)
trainer.train()
trainer.save_model()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

pipe = pipeline("visual-question-answering", model="vilt_finetuned")
piped = [pipe(Image.open(row["image"]), row["question"], top_k=1)[0] for row in rows]

processor = ViltProcessor.from_pretrained("vilt_finetuned")
model = ViltForQuestionAnswering.from_pretrained("vilt_finetuned")
predicted = []
for row in rows:
    inputs = processor(Image.open(row["image"]), row["question"], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    index = outputs.logits.argmax(-1).item()
    predicted.append((model.config.id2label[index], outputs.logits.sigmoid().max().item()))
