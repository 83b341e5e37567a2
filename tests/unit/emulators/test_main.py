import importlib
from types import SimpleNamespace

import pytest

from emulators.__main__ import COMMANDS, SERVERS, main


@pytest.mark.parametrize(
    ("argv", "module"),
    [([name], module) for name, (module, _) in COMMANDS.items()]
    + [(["serve", name], module) for name, (module, _) in SERVERS.items()],
    ids=[*COMMANDS, *SERVERS],
)
def test_command_is_handed_its_own_arguments(
    argv: list[str], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, list[str]]] = []

    def load(name: str) -> SimpleNamespace:
        def run(rest: list[str]) -> int:
            seen.append((name, rest))
            return 3

        return SimpleNamespace(main=run, up=run, down=run)

    monkeypatch.setattr(importlib, "import_module", load)
    assert main([*argv, "--port", "1", "--help"]) == 3
    assert seen == [(module, ["--port", "1", "--help"])]


@pytest.mark.parametrize("argv", [[], ["sing"], ["serve"], ["serve", "spanner"]])
def test_unknown_command_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: python -m emulators" in capsys.readouterr().err
