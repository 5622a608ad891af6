"""Files in the benchmarks' layouts, made of drawn scenes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from jobs.demo import questions, scenes

ANSWER_TYPES = {"presence": "yes/no", "number": "number"}


def write_json(path: Path, value: Any) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def karpathy(folder: Path, count: int, seed: int = 5) -> tuple[str, str]:
    """A Karpathy split of `count` test images and one of training, with one to five texts each; it and its images."""
    rng, images, sentid = Random(seed), [], 0
    (folder / "images" / "val2014").mkdir(parents=True)
    for number in range(count + 1):
        scene = scenes.random_scene(rng)
        name = f"{number}.jpg"
        (folder / "images" / "val2014" / name).write_bytes(scenes.encode(scenes.draw(scene, rng), rng))
        texts = [scenes.caption(scene.things), *(scenes.caption((thing,)) for thing in scene.things)]
        sentences = [{"raw": text, "sentid": sentid + i, "tokens": []} for i, text in enumerate(texts)]
        sentid += len(texts)
        images.append(
            {
                "filepath": "val2014",
                "filename": name,
                "imgid": 7 * number,
                "split": "test" if number else "train",
                "sentences": sentences,
                "sentids": [],
            }
        )
    Random(1).shuffle(images)
    return write_json(folder / "dataset.json", {"images": images, "dataset": "coco"}), str(folder / "images")


def vqa(folder: Path, count: int, seed: int = 6) -> tuple[str, str, str]:
    """VQA questions, two about each image, annotations with ten answers each, and the images' folder."""
    rng, asked, told = Random(seed), [], []
    images = folder / "val2014"
    images.mkdir(parents=True)
    for number in range(count):
        scene = scenes.random_scene(rng)
        picture = scenes.encode(scenes.draw(scene, rng), rng)
        (images / f"COCO_val2014_{number:012d}.jpg").write_bytes(picture)
        for i in range(2):
            kind, question, answer = questions.ask(scene, rng, "presence" if i else "color")
            asked.append({"image_id": number, "question": question, "question_id": 10 * number + i})
            told.append(
                {
                    "question_id": 10 * number + i,
                    "image_id": number,
                    "question_type": kind,
                    "answer_type": ANSWER_TYPES.get(kind, "other"),
                    "multiple_choice_answer": answer,
                    "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": j} for j in range(1, 11)],
                }
            )
    return (
        write_json(folder / "questions.json", {"questions": asked, "data_subtype": "val2014", "info": {}}),
        write_json(folder / "annotations.json", {"annotations": told, "data_subtype": "val2014"}),
        str(images),
    )


def nlvr2(folder: Path, sets: int, seed: int = 7) -> tuple[str, str]:
    """NLVR2 examples, two sentences beside two pairs of images a set, and the images' folder."""
    rng, lines = Random(seed), []
    images = folder / "dev"
    images.mkdir(parents=True)
    for number in range(sets):
        for pair in range(2):
            for side in range(2):
                picture = scenes.encode(scenes.draw(scenes.random_scene(rng), rng), rng)
                (images / f"dev-{number}-{pair}-img{side}.png").write_bytes(picture)
            for sentence in range(2):
                lines.append(
                    {
                        "identifier": f"dev-{number}-{pair}-{sentence}",
                        "sentence": ("a red star", "a blue circle left of a star")[sentence],
                        "label": rng.choice(("True", "False")),
                        "left_url": "",
                    }
                )
    (folder / "dev.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "dev.json"), str(images)
