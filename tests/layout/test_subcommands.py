"""``fer-train ablation`` and its like: found, listed, and imported only when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fer_bench.subcommands import SUBCOMMANDS as BENCH
from fer_edge.subcommands import Subcommands
from fer_export.subcommands import SUBCOMMANDS as EXPORT
from fer_train.commands.subcommands import SUBCOMMANDS as TRAIN

PARTS = [(table, name) for table in (TRAIN, EXPORT, BENCH) for name in table.table]


@pytest.mark.parametrize("table", [TRAIN, EXPORT, BENCH])
def test_help_lists_every_subcommand(table: Subcommands, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        table.main(["--help"])
    assert ending.value.code == 0
    shown = capsys.readouterr().out
    for name, part in table.table.items():
        assert f"  {table.prog} {name}" in shown
        assert part.help in shown


@pytest.mark.parametrize(("table", "name"), PARTS)
def test_each_has_a_help_of_its_own(table: Subcommands, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        table.main([name, "--help"])
    assert ending.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: {table.prog} {name} ")
    assert "``" not in shown, "marks of documentation are not for a terminal"


@pytest.mark.parametrize(("table", "name"), PARTS)
def test_each_refuses_an_unknown_option_under_its_own_name(
    table: Subcommands, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main([name, "--no-such-option"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{table.prog} {name}: error: ")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("table", "word", "answer"),
    [
        (TRAIN, "ablations", "unknown command 'ablations'; did you mean ablation?"),
        (TRAIN, "train", "unknown command 'train'; there are teach, calibrate, average, ablation, speed"),
        (EXPORT, "releases", "did you mean release?"),
        (BENCH, "comparison", "did you mean compare?"),
    ],
)
def test_a_wrong_word_gets_the_nearest(
    table: Subcommands, word: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main([word, "--data", "d"]) == 2
    assert answer in capsys.readouterr().err


def test_only_what_is_asked_for_is_imported() -> None:
    program = (
        "import sys, contextlib\n"
        "from fer_train.commands.subcommands import main\n"
        "assert not [name for name in sys.modules if name.startswith('fer_train.commands.') and 'sub' not in name]\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main(['ablation', '--help'])\n"
        "others = {'train', 'average', 'calibrate', 'input_speed', 'train_with_teachers'}\n"
        "print('loaded:', [name for name in sys.modules if name.startswith('fer_train.commands.')"
        " and name.split('.')[-1] in others], 'tensorflow' in sys.modules, 'keras' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: [] False False"
