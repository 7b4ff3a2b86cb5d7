"""Where a model's files come from: folders, the hub's cache, and one line if they are incomplete."""

from __future__ import annotations

import json
import shutil

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError
from safetensors.torch import load_file, save_file

from harness.config.schema import ModelSection
from harness.models import checkpoint
from harness.runs import directory
from harness.tasks.tiny import CHECKPOINT
from harness.util import hub
from harness.util.errors import HarnessError

GEMMA = "google/gemma-3-1b-it"
COMMIT = "dcc83ea841ab6100d6b47a070329e1ba4cf78752"


def test_checkpoints_that_cannot_be_used(tmp_path):
    for model, part in (
        ({"id": str(tmp_path)}, "no \\*.safetensors"),
        ({"id": "nowhere"}, r"not found as a folder in .* and is not a hub id"),
        ({"id": "somebody/unknown-model"}, r"is not on this machine .*, and the hub is not asked for it"),
    ):
        with pytest.raises(HarnessError, match=part):
            checkpoint.resolve(ModelSection(**model))


def test_a_run_notes_what_kind_of_model_its_base_is(finished):
    noted = directory.existing(finished).read_manifest().base
    held = sum(tensor.numel() for file in CHECKPOINT.glob("*.safetensors") for tensor in load_file(file).values())
    assert (noted.architecture, noted.parameters) == ("Gemma3ForCausalLM", held)


def test_the_weights_hash_is_of_the_content(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    one, two = (checkpoint.resolve(ModelSection(id=str(tmp_path / name))) for name in ("a", "b"))
    assert one.weights_hash == two.weights_hash
    (tmp_path / "b/model.safetensors").write_bytes(b"other")
    assert checkpoint.resolve(ModelSection(id=str(tmp_path / "b"))).weights_hash != one.weights_hash


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The hub's cache (offline, as conftest sets) with this model as fetched by transformers."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--google--gemma-3-1b-it"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    return shutil.copytree(CHECKPOINT, repository / "snapshots" / COMMIT)


@pytest.mark.parametrize("revision", [None, COMMIT])
@pytest.mark.parametrize("weights", [True, False])
def test_a_model_in_the_hubs_cache_needs_no_hub(cached, revision, weights):
    model = ModelSection(id=GEMMA, revision=revision)
    assert checkpoint.resolve(model, weights=weights).path == cached
    assert checkpoint.on_this_machine(model).parameters == checkpoint.resolve(ModelSection(id="tiny")).parameters > 0


def test_what_is_not_in_the_hubs_cache_is_not_on_this_machine(cached):
    assert checkpoint.on_this_machine(ModelSection(id="somebody/unknown-model")) is None
    (cached / "model.safetensors").unlink()
    assert checkpoint.on_this_machine(ModelSection(id=GEMMA)) is None


def in_two_shards(folder):
    """Store the folder's weights as large models are stored; returns the second file."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    table = {name: file for file, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    return folder / "model-00002-of-00002.safetensors"


@pytest.mark.parametrize("revision", [None, COMMIT])
def test_what_a_broken_download_left_in_the_cache_is_refused(cached, revision):
    model = ModelSection(id=GEMMA, revision=revision)
    second = in_two_shards(cached)
    assert checkpoint.resolve(model).path == cached
    second.unlink()
    with pytest.raises(HarnessError, match=r"00002-of-00002|is not on this machine .*, and the hub is not asked"):
        checkpoint.resolve(model)
    for file in cached.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(HarnessError, match=r"no \*\.safetensors|is not on this machine .*, and the hub is not asked"):
        checkpoint.resolve(model)
    assert checkpoint.resolve(model, weights=False).path == cached  # its tokenizer is there


def test_a_folder_without_one_of_its_shards_is_refused_and_the_file_named(tmp_path):
    folder = shutil.copytree(CHECKPOINT, tmp_path / "model")
    second = in_two_shards(folder)
    model = ModelSection(id=str(folder))
    assert checkpoint.resolve(model).parameters == checkpoint.resolve(ModelSection(id="tiny")).parameters
    second.unlink()
    with pytest.raises(HarnessError, match=f"incomplete: {second.name} missing, named in model.safetensors.index.json"):
        checkpoint.resolve(model)
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(HarnessError, match="is not an index of weights"):
        checkpoint.resolve(model)


def test_another_repositorys_revision_is_said_to_be_one(monkeypatch):
    def unknown(**wanted):
        response = httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co"))
        raise RevisionNotFoundError("404 Client Error.", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unknown)
    with pytest.raises(HarnessError, match=f"somebody/gemma has no revision {COMMIT} .*model.revision=null"):
        checkpoint.resolve(ModelSection(id="somebody/gemma", revision=COMMIT))


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(GatedRepoError, "accept its licence on somebody/gemma's page"), (HfHubHTTPError, "try again")],
)
def test_a_licence_is_named_only_where_the_hub_may_want_one(monkeypatch, error, remedy):
    def refused(**wanted):
        raise error("403 Client Error.", response=httpx.Response(403, request=httpx.Request("GET", "https://x.org")))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    with pytest.raises(HarnessError) as raised:
        checkpoint.resolve(ModelSection(id="somebody/gemma"))
    assert remedy in str(raised.value) and ("licence" in str(raised.value)) == (error is GatedRepoError)
