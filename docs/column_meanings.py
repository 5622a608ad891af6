"""What docs/reference/columns.md says of each column that a job adds."""

from __future__ import annotations

# Column -> Arrow type and meaning, for every column that a job adds.
COLUMNS: dict[str, tuple[str, str]] = {
    "row_id": (
        "int64",
        "a hash of the file's path and the row's offset; with `input.id` that column's values, in its type",
    ),
    "text_index": ("int32", "index of the text in its list, or of its column in `input.text`; only if there are such"),
    "text_truncated": (
        "bool",
        "whether the text has more tokens than the model reads (40), and lost its end; null if the row was rejected "
        "before the model read it; not written by jobs that read images alone",
    ),
    "score": ("float32", "the retrieval logit; higher fits better"),
    "negative_scores": (
        "list<float>",
        "the retrieval logits of the texts in `negatives` with the row's image, in their order; only if there are such",
    ),
    "answer": ("string", "the best answer"),
    "answer_score": ("float32", "the score of `answer`: a sigmoid (ViLT), a probability (VisualBERT)"),
    "answers": ("list<struct<answer: string, score: float>>", "the best `top_k` answers, best first"),
    "filled_text": ("string", "the text with every `[MASK]` filled, the most certain first"),
    "fills": ("list<struct<token: string, score: float>>", "the token put in place of each `[MASK]`, its probability"),
    "label": ("string", "the most likely class, of the image (`classify`) or of the text and its images (`reason`)"),
    "label_score": ("float32", "the probability of `label`"),
    "labels": ("list<struct<label: string, score: float>>", "the best `top_k` classes, best first"),
    "tags": ("list<struct<token: string, label: string, score: float>>", "the most likely class of each token"),
    "embedding": ("list<float>", "the pooled vector of the image and text, or of the image (ViT)"),
    "best_texts": ("list<struct<text_id, score: float>>", "OUT/images: the `top_k` best texts of the image"),
    "candidates": (
        "list<struct<text: int32, score: float>>",
        "OUT/images: texts that may have the image among their best",
    ),
    "image_version": (
        "string",
        "with `input.verify`: the etag of the image that the row was read with, or its time of change and its size; "
        "null if it was not read by URI",
    ),
    "error": ("string", "null if all went well, else one of the [reasons](reasons.md)"),
    "error_detail": ("string", "what exactly was wrong"),
}
