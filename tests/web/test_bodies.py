"""Bodies of requests: what is refused, with which sentence, and what viewers send that is understood."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import HTTPException

from xssr_strategy.datastores.bodies import parse_body
from xssr_strategy.datastores.metadata import checked_info, checked_notes, plain_name
from xssr_strategy.web.bodies import BatchBody, NextSampleBody, check_task_body, inference_settings


def refusal(function: Any, *arguments: Any) -> str:
    """The sentence of a 422."""
    with pytest.raises(HTTPException) as caught:
        function(*arguments)
    assert caught.value.status_code == 422
    return str(caught.value.detail)


@pytest.mark.parametrize("key", ["client_id", "strategy", "skip", "skip_reason"])
@pytest.mark.parametrize("value", [7, ["a"], {"a": 1}, True, "x" * 1001, "\ud800"])
def test_texts_of_a_next_sample(key: str, value: Any) -> None:
    assert refusal(parse_body, NextSampleBody, {key: value}) == f"{key}: must be text of at most 1000 characters."


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}])
def test_nothing_is_nothing_however_a_viewer_says_so(value: Any) -> None:
    assert parse_body(NextSampleBody, {"client_id": value, "whatever": object()}).client_id is None


@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_a_body_is_an_object(body: Any) -> None:
    assert refusal(parse_body, NextSampleBody, body) == "body: must be a JSON object, such as {}."
    assert refusal(parse_body, NextSampleBody, body, "params") == "params: must be a JSON object, such as {}."


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"image": "/etc/passwd"}, "image is not taken here; name the image in the address, ?image=ID, or send it as"),
        ({"session": "x"}, "session is not taken here; name it in the address"),
        ({"save_label": True}, "save_label is not taken here; submit the label with PUT /datastore/label"),
        ({"label_tag": "final"}, "label_tag is not taken here; submit the label with PUT /datastore/label"),
        ({"device": "abacus"}, "device abacus is not there; use one of cpu"),
        ({"device": ["abacus"]}, "device abacus is not there; use one of cpu"),
        ({"device": {"a": 1}}, "is not there; use one of cpu"),
        ({"device": "\ud800"}, "is not there; use one of cpu"),
        ({"result_dtype": "complex"}, "result_dtype must be one of uint8, int8, uint16"),
        ({"result_dtype": ["uint8"]}, "result_dtype must be one of uint8, int8, uint16"),
        ({"result_compress": "perhaps"}, "result_compress must be one of true, false."),
        ({"result_extension": 7}, "result_extension must be text, such as .nii.gz."),
        ({"label_info": [7]}, 'label_info must be a list such as [{"name": "liver"}].'),
        ({"label_info": [{"name": 7}]}, 'label_info must be a list such as [{"name": "liver"}].'),
        ({"label_info": "liver"}, 'label_info must be a list such as [{"name": "liver"}].'),
    ],
)
def test_settings_of_an_inference_that_are_of_no_use(params: dict[str, Any], sentence: str) -> None:
    found = refusal(inference_settings, params)
    assert found.startswith("params: ")
    assert sentence in found


def test_settings_of_an_inference_that_viewers_send() -> None:
    sent = {
        "device": ["cpu", "cuda"],
        "result_dtype": "uint16",
        "result_compress": False,
        "result_extension": ".nrrd",
        "label_info": {"name": "liver"},
        "client_id": "slicer",
        "image": "",
        "save_label": False,
        "model": "segmentation",
    }
    known = {key: value for key, value in sent.items() if key not in ("image", "save_label", "model")}
    assert inference_settings(sent) == known  # unchanged, for MONAI Label reads them
    assert inference_settings({}) == {}
    assert inference_settings({"device": "cuda:3"}) == {"device": "cuda:3"}  # which falls back to the processor
    assert inference_settings({"label_info": [{"name": ""}, {"name": None, "color": [1, 2]}]})["label_info"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"label_tag": 7}, "label_tag: must be text, such as original."),
        ({"images": 0}, "images: must be all, labeled, unlabeled, or a list of ids of images that exist."),
        ({"images": [7]}, "images: must be all, labeled, unlabeled, or a list of ids of images that exist."),
        ({"max_batch_size": -1}, "max_batch_size: must be a whole number, 0 or more."),
        ({"max_batch_size": "2"}, "max_batch_size: must be a whole number, 0 or more."),
        ({"max_workers": 2**31}, "max_workers: must be a whole number, 0 or more."),
        ({"max_workers": None}, "max_workers: must be a whole number, 0 or more."),
        ({"logging": "LOUD"}, "logging: must be one of DEBUG, INFO, WARNING, ERROR."),
        ({"image": "a"}, "image: is not taken here; name images by the key images."),
    ],
)
def test_settings_of_a_batch(body: dict[str, Any], sentence: str) -> None:
    assert refusal(parse_body, BatchBody, body) == sentence


def test_settings_of_a_batch_that_are_understood() -> None:
    body = parse_body(BatchBody, {"images": ["a", "b"], "logging": "info", "max_workers": 3, "label_tag": ""})
    assert (body.images, body.max_workers, body.label_tag) == (["a", "b"], 3, None)
    assert parse_body(BatchBody, {}).images == "all"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"bundle_path": None}, "bundle_path: not taken here; the app knows where its networks are."),
        ({"gpus": "some"}, "gpus: must be all, or numbers such as 0,1."),
        ({"gpus": ["0"]}, "gpus: must be all, or numbers such as 0,1."),
        ({"device": "abacus"}, "device: abacus is not there; use one of cpu"),
    ],
)
def test_what_no_background_task_is_told(body: dict[str, Any], sentence: str) -> None:
    assert refusal(check_task_body, body).startswith(sentence)


def test_what_background_tasks_are_told() -> None:
    for body in ({}, {"gpus": "all"}, {"gpus": "0,1", "device": "cpu"}, {"gpus": None}, {"gpus": ""}):
        check_task_body(body)


def test_what_is_said_of_labels_and_images() -> None:
    assert checked_info(None) == {}
    told = {"label_info": [{"name": "liver", "color": [255, 0, 0]}], "client_id": "slicer"}
    assert checked_info(told) == told
    assert refusal(checked_info, ["liver"]) == "params: must be a JSON object, such as {}."
    assert refusal(checked_info, {"label_info": 7}) == (
        'params: label_info must be a list such as [{"name": "liver"}].'
    )
    notes = {"strategy": {"xssr": {"ts": 1}}, "anything": [1]}
    assert checked_notes(notes) == notes
    assert refusal(checked_notes, {"strategy": "xssr"}) == "info: strategy must be a JSON object, such as {}."
    assert plain_name("tag", "final") == "final"
    assert "must be a plain name" in refusal(plain_name, "tag", "../final")
