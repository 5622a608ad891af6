"""A family names its classes, which are imported when they are first asked for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from vilt.models.family import ModelFamily
from vilt.models.registry import families


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_classes(family: ModelFamily) -> None:
    assert family.config_class.model_type == family.model_type
    assert family.predictor_class.config_class is family.config_class
    assert hasattr(family.preprocessor_class, "patches_of_bytes")
    assert family.tasks
    assert family.reads


def test_a_name_that_leads_nowhere() -> None:
    family = replace(families()[0], config="vilt.models.nothing:Config", predictor="vilt.models.family:Nothing")
    with pytest.raises(ModuleNotFoundError):
        _ = family.config_class
    with pytest.raises(AttributeError):
        _ = family.predictor_class


def test_tasks_are_known_without_torch() -> None:
    code = (
        "import sys; from vilt.models.registry import families; "
        "[(f.tasks, f.reads, f.preprocessor_class) for f in families()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
