"""How the package is built: what it depends on, under which licences, with which settings."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")


def toml(path):
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def test_profiles_are_those_of_the_root_so_that_what_is_built_is_used_again():
    ours, root = toml("python/Cargo.toml")["profile"], toml("Cargo.toml")["profile"]
    # The root's own packages are dependencies here: what "*" says of them is said again, package by package.
    explicit = {"opt-level": root["dev"]["opt-level"], "debug": root["dev"]["debug"]}
    assert {name: ours["dev"][name] for name in explicit} == explicit
    assert ours["dev"]["package"]["*"] == root["dev"]["package"]["*"]
    for name, settings in root["dev"]["package"].items():
        if name not in ("*", "tacitly-curve25519-batch"):
            assert ours["dev"]["package"][name] == settings, name


def test_dependencies_have_the_versions_of_the_root_where_both_have_them():
    def versions(path):
        found = {}
        for package in toml(path)["package"]:
            found.setdefault(package["name"], set()).add(package["version"])
        return found

    ours, root = versions("python/Cargo.lock"), versions("Cargo.lock")
    differing = {name: (ours[name], root[name]) for name in ours if name in root and not ours[name] <= root[name]}
    assert not differing, "copy the root's Cargo.lock to python/ and run `cargo fetch` there"


def test_the_crate_uses_the_facade_only_and_every_licence_is_on_the_list():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    host = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = next(line.split()[1] for line in host.splitlines() if line.startswith("host:"))
    told = subprocess.run([*command, "--filter-platform", host], check=True, capture_output=True, cwd=ROOT / "python")
    packages = json.loads(told.stdout)["packages"]
    ours = next(package for package in packages if package["name"] == "tacitly-python")
    assert [one["name"] for one in ours["dependencies"] if one.get("path")] == ["tacitly"]

    deny = toml("deny.toml")
    allowed = {entry if isinstance(entry, str) else entry["name"] for entry in deny["licenses"]["allow"]}
    banned = {entry["name"] for entry in deny["bans"]["deny"]}

    def is_allowed(licence):
        alternatives = (licence or "").replace("/", " OR ").replace("(", "").replace(")", "").split(" OR ")
        return any({part.split(" WITH ")[0].strip() for part in one.split(" AND ")} <= allowed for one in alternatives)

    refused = [package["name"] for package in packages if not is_allowed(package["license"])]
    assert not refused and not banned & {package["name"] for package in packages}


def test_the_wheel_is_one_for_all_versions_of_python_typed_and_needs_nothing():
    package = importlib.metadata.distribution("tacitly")
    files = {str(file) for file in package.files}
    assert {"tacitly/py.typed", "tacitly/_core.pyi"} <= files
    if sys.platform == "linux":
        assert "tacitly/_core.abi3.so" in files
    assert "cp39-abi3" in package.read_text("WHEEL")
    assert package.requires is None and package.metadata["Requires-Python"] == ">=3.9"
