"""Results that have a file of their own under results/: NAME.json, and NAME.md made from it."""

from benchmarks import machine, results
from benchmarks.report import markdown
from benchmarks.results import RESULTS, Entry, Figure
from installer.bundle.steps import say


def keep(
    name: str,
    model: str,
    title: str,
    figures: list[Figure],
    seconds: float,
    repeat: int,
    **more: object,
) -> None:
    """Merge measurements on a model into a sheet, and print it.

    Args:
        more: `commands`, `runs` and `notes` of the entry.
    """
    path = RESULTS / f"{name}.json"
    entry = Entry(
        check=name,
        model=model,
        title=title,
        when=machine.today(),
        commit=machine.commit(),
        machine=machine.machine(RESULTS),
        repeat=repeat,
        seconds=seconds,
        figures=figures,
        **more,  # type: ignore[arg-type] # as its fields
    )
    everything = results.read(path).merged(entry)
    results.write(everything, path)
    path.with_suffix(".md").write_text(markdown(everything))
    for figure in figures:
        say(f"{model}: {figure.name}: {figure.value.median:.3g}")
