"""The name that was meant by one that is not known: none rather than a wrong one."""

import pytest

from pipeline.common.suggestions import nearest


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("imge", ["image", "text", "id"], "image"),
        ("iamge_url", ["image_url", "image_uri"], "image_url"),
        ("Image", ["image", "images"], "image"),
        ("caption", ["captions", "true_caption"], "captions"),
        ("ids", ["id", "ids_of_others"], "id"),
        ("img", ["image", "text"], "image"),
        ("txt", ["text"], "text"),
        ("img", ["image", "imagery"], None),
        ("question", ["answer", "reason"], None),
        ("output", ["input"], None),
        ("vilt-b32-finetuned-nlvr2", ["vilt-b32-finetuned-coco"], None),
        ("a", ["b"], None),
        ("", ["a"], None),
        ("x", [], None),
    ],
)
def test_nearest(name: str, known: list[str], meant: str | None) -> None:
    assert nearest(name, known) == meant
