"""Keys for manifests, and what is refused without them: `asap key`, `serve --sign`, `--pin`, `--agent`, `--targets`."""

import base64
import os
import stat

import pytest

SERVED = "urn:asap:agent:served"


def test_a_key_is_made_once(asap, tmp_path):
    """Its owner alone may read it, and no other ever takes its place; what is printed is what others pin."""
    made = asap("key", "key.pem", "--new")
    assert made.exit_code == 0
    assert len(base64.b64decode(made.out.strip(), validate=True)) == 32
    assert stat.S_IMODE(os.stat(tmp_path / "key.pem").st_mode) == 0o600
    text = (tmp_path / "key.pem").read_bytes()
    assert text.startswith(b"-----BEGIN PRIVATE KEY-----")
    again = asap("key", "key.pem", "--new")
    assert (again.exit_code, again.out) == (1, "")
    assert "is there already" in again.err
    assert (tmp_path / "key.pem").read_bytes() == text
    assert asap("key", "key.pem").out == made.out
    assert asap("key", "key.pem", "--json").document == {"public_key": made.out.strip()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.pem"], "can't read nowhere.pem"),
        (["other.pem"], "holds no Ed25519 private key"),
        (["no/such/place.pem", "--new"], "can't write no/such/place.pem"),
    ],
)
def test_files_that_hold_no_key(asap_process, tmp_path, words, said):
    """In words, with what to do."""
    (tmp_path / "other.pem").write_text("hunter2")
    ended = asap_process("key", *words)
    assert (ended.exit_code, ended.out) == (2, "")
    assert said in ended.err
    assert "hunter2" not in ended.err


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signed_manifest_is_verified(asap, serving, agent_module, tmp_path, workers):
    """Whichever worker answers; with another key, or for another agent, nothing is shown and nothing is sent."""
    (tmp_path / "served.pub").write_text(asap("key", "key.pem", "--new").out)
    other = asap("key", "other.pem", "--new").out.strip()
    with serving(agent_module("asyncio"), "--sign", "key.pem", "--workers", workers) as running:
        shown = asap("manifest", running.url, "--pin", "@served.pub", "--agent", SERVED)
        assert shown.exit_code == 0
        assert "signed    with the pinned key" in shown.out
        sent = asap("send", running.url, "--skill", "echo", "--input", '{"n": 1}', "--pin", "@served.pub")
        assert sent.document == {"echoed": {"n": 1}}
        for words, code in (
            (["manifest", running.url, "--pin", other], "asap:auth/unverified_manifest"),
            (["manifest", running.url, "--agent", "urn:asap:agent:other"], "asap:auth/other_agent"),
            (["send", running.url, "--skill", "echo", "--pin", other], "asap:auth/unverified_manifest"),
        ):
            ended = asap(*words, "--json")
            assert (ended.exit_code, ended.document["error"]["code"]) == (1, code)


def test_what_is_not_signed_is_not_shown_to_who_pins(asap, serving, agent_module):
    """Without --pin nothing is said of signatures."""
    key = asap("key", "key.pem", "--new").out.strip()
    with serving(agent_module("sync"), env={"ASAP_SIGN": ""}) as running:
        assert "signed" not in asap("manifest", running.url).out
        ended = asap("manifest", running.url, "--pin", key)
        assert (ended.exit_code, ended.out) == (1, "")


def test_targets_say_where_a_url_may_lead(asap, serving, agent_module):
    """This machine is not public; several targets are joined by commas."""
    with serving(agent_module("sync")) as running:
        for words in (["manifest", running.url], ["send", running.url, "--skill", "echo"]):
            ended = asap(*words, "--targets", "public", "--json")
            assert (ended.exit_code, ended.document["error"]["code"]) == (3, "asap:transport/forbidden_target")
            assert asap(*words, "--targets", "public, 127.0.0.0/8").exit_code == 0
            ended = asap(*words, "--targets", "private")
            assert ended.exit_code == 2
            assert "'private' is no target" in ended.err


@pytest.mark.parametrize("key", ["AAAA", "@nowhere.pub", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="])
def test_pins_that_are_none(asap, key):
    """What is no key, or a weak one, is told before anybody is asked."""
    ended = asap("manifest", "http://127.0.0.1:9", "--pin", key)
    assert (ended.exit_code, ended.out) == (2, "")


def test_a_key_that_is_none_serves_nothing(asap_process, agent_module):
    """It is told at once, not by the first worker."""
    ended = asap_process("serve", agent_module("sync"), "--sign", "nowhere.pem")
    assert ended.exit_code == 2
    assert "can't read nowhere.pem" in ended.err
