"""The environment: what is set before PyTorch, what is described, and that no secret and no name ever is."""

import getpass
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import environment

_SECRETS = {
    "HF_TOKEN": "hf_abcdef", "AWS_SECRET_ACCESS_KEY": "aws123", "HTTP_PROXY": "http://someone:pass1@proxy:3128", "https_proxy": "http://u:pass2@p",
    "TORCH_HUB_TOKEN": "torch123", "TORCH_API_KEY": "torch456", "ASCEND_PASSWORD": "ascend123", "HCCL_SECRET": "hccl123",
    "HCCL_IF_IP": "10.1.2.3", "HCCL_SOCKET_IFNAME": "eth-of-somebody", "ASCEND_HOME_PATH": "/home/somebody/Ascend",
    "TORCH_HOME": "/home/somebody/.cache", "TORCH_PROXY_SETTING": "u-pass3", "OMP_LABEL": "someone@example.org", "MKL_NOTE": "https://u:pass4@x",
    "torch_token": "torch789", "TORCH_Auth": "torch012",
}  # fmt: skip


def test_prepare_sets_what_is_unset_and_keeps_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OMP_WAIT_POLICY": "ACTIVE"})
    environment.prepare()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "0"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert os.environ["GOMP_SPINCOUNT"] == "0"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys; from harness import environment; environment.prepare(); assert 'torch' not in sys.modules"
    root = Path(environment.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_child_environment_is_this_one_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_EXAMPLE", "kept")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    child = environment.child_environment()
    assert (child["ASSAY_EXAMPLE"], child["GOMP_SPINCOUNT"], child["OMP_WAIT_POLICY"]) == ("kept", "7", "PASSIVE")
    assert "OMP_WAIT_POLICY" not in os.environ


def test_describe_is_json_and_the_same_twice() -> None:
    described = environment.describe()
    assert json.loads(json.dumps(described)) == described == environment.describe()
    assert described["packages"]["torch"]
    assert described["python"] == platform.python_version()
    assert described["memory_bytes"] > 2**26
    assert 1 <= described["usable_cores"] <= described["logical_cores"]
    assert described["threads"] >= 1
    assert described["cpu"]


def test_describe_names_only_packages_that_are_installed() -> None:
    packages = environment.describe()["packages"]
    assert all(re.match(r"\d", version) for version in packages.values())
    assert "pytest" in packages


@pytest.mark.parametrize("name", sorted(_SECRETS))
def test_no_secret_is_described(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, _SECRETS[name])
    described = json.dumps(environment.describe())
    assert _SECRETS[name] not in described
    assert f'"{name}"' not in described


def test_neither_host_name_nor_user_name_nor_home_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "some-host-name")
    monkeypatch.setenv("LOGNAME", "some-user-name")
    assert getpass.getuser() == "some-user-name"
    described = json.dumps(environment.describe())
    assert "some-host-name" not in described
    assert "some-user-name" not in described
    assert str(Path.home()) not in described


@given(
    prefix=st.sampled_from(["OMP_", "MKL_", "ASCEND_", "HCCL_", "TORCH_", ""]),
    word=st.sampled_from(["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS", "AUTH", "URL", "PROXY", "USER", "HOST"]),
    ending=st.sampled_from(["", "_ID", "_2", "S"]),
    value=st.text("abcdef0123456789", min_size=8, max_size=40),
)
def test_whatever_is_called_a_secret_is_not_described(prefix: str, word: str, ending: str, value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {f"{prefix}{word}{ending}": value})
        assert environment._variables() == {}


@given(before=st.text(), sign=st.sampled_from("/@\\\n"), after=st.text())
def test_no_path_address_or_second_line_is_described(before: str, sign: str, after: str) -> None:
    value = before + sign + after
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {"TORCH_ANYTHING": value})
        assert environment._variables() == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMP_NUM_THREADS", "1"), ("HCCL_DETERMINISTIC", "true"), ("CUDA_VISIBLE_DEVICES", "0,1"), ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
        ("PYTORCH_NPU_ALLOC_CONF", "expandable_segments:True"), ("ASCEND_LAUNCH_BLOCKING", "1"), ("TOKENIZERS_PARALLELISM", "false"),
        ("ASCEND_RT_VISIBLE_DEVICES", "0"), ("TORCH_DEVICE_BACKEND_AUTOLOAD", "0"), ("HF_HUB_OFFLINE", "1"),
    ],
)  # fmt: skip
def test_switches_that_steer_a_run_are_described(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert environment.describe()["variables"][name] == value


def test_machine_is_a_short_hash_that_tells_machines_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    for installation in ("a" * 32, "b" * 32, "a" * 32):
        monkeypatch.setattr(environment, "_read", lambda path, text=installation: text if path == "/etc/machine-id" else None)
        environment.machine.cache_clear()
        seen.add(environment.machine())
    environment.machine.cache_clear()
    assert len(seen) == 2
    assert all(re.fullmatch(r"[0-9a-f]{16}", value) for value in seen)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n\nprocessor\t: 1\nmodel name\t: Other\n", "Some CPU @ 2.00GHz"),
        ("processor\t: 0\nCPU implementer\t: 0x48\nCPU part\t: 0xd01\n", f"{platform.machine()} implementer 0x48 part 0xd01"),
        ("", platform.processor() or platform.machine()),
    ],
)
def test_cpu_model(monkeypatch: pytest.MonkeyPatch, text: str, model: str) -> None:
    monkeypatch.setattr(environment, "_read", lambda path: text)
    assert environment.cpu_model.__wrapped__() == model


@pytest.mark.parametrize(("limit", "counts"), [("1048576\n", True), ("max\n", False), ("9223372036854771712", False), (None, False)])
def test_a_containers_limit_is_the_memory_there_is(monkeypatch: pytest.MonkeyPatch, limit: str | None, counts: bool) -> None:
    monkeypatch.setattr(environment, "_read", lambda path: limit if path == "/sys/fs/cgroup/memory.max" else None)
    assert (environment.memory_bytes.__wrapped__() == 2**20) is counts


def test_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "kept"))
    assert environment.cache_folder() == tmp_path / "kept"
    monkeypatch.setenv("ASSAY_CACHE", "")
    assert environment.cache_folder().name == "assay"


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("ON", True), ("0", False), ("", False), ("no", False)])
def test_offline_as_the_hub_library_reads_it(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert environment.offline() is expected


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), ("", False)])
def test_emulated_is_what_the_emulator_sets(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("ASSAY_EMULATOR", value)
    assert environment.emulated() is expected


def test_the_host_may_stand_in_unless_it_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_NPU_FALLBACK_CPU_DISABLE", "1")
    assert not environment.host_may_stand_in()
    monkeypatch.setenv("TORCH_NPU_FALLBACK_CPU_DISABLE", "0")
    assert environment.host_may_stand_in()
    monkeypatch.delenv("TORCH_NPU_FALLBACK_CPU_DISABLE")
    assert environment.host_may_stand_in()


def test_the_commit_of_a_checkout_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def commit_of(root: Path) -> str:
        monkeypatch.setattr(environment, "__file__", str(root / "harness" / "environment.py"))
        environment.commit.cache_clear()
        return environment.commit()

    assert commit_of(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    assert re.fullmatch(r"[0-9a-f]{40}", commit_of(tmp_path))
    (tmp_path / "file").write_text("one")
    subprocess.run([*git, "add", "file"], check=True)
    assert commit_of(tmp_path).endswith("+changes")
    environment.commit.cache_clear()
