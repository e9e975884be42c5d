"""Commands go in; out comes how long a cold process takes, against the imports that prediction cannot do without.

Every command is started in turns, many times; the ratio is that of the medians, beside that of the fastest runs.
Goals: `classify` at most 2 x the imports, `import resnets` at most 50 ms and `resnets --help` at most 120 ms.

    python benchmarks/cold_start.py PHOTO [-m MODEL] [--turns 20]
"""

import argparse
import statistics
import subprocess
import sys
import time


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo")
    parser.add_argument("-m", "--model", help="default: the bundled model")
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    model = ["-m", options.model] if options.model else []
    resnets = [sys.executable, "-c", "from resnets.cli.main import main; main()"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import onnxruntime, numpy, PIL.Image": [sys.executable, "-c", "import onnxruntime, numpy, PIL.Image"],
        "resnets classify PHOTO": [*resnets, "classify", options.photo, *model],
        "import resnets": [sys.executable, "-c", "import resnets"],
        "resnets --help": [*resnets, "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(options.turns + 1):
        for name, command in commands.items():
            found = seconds(command)
            if turn:  # the first one fills the disk cache
                times[name].append(found)
    for name, found_times in times.items():
        middle, best = statistics.median(found_times), min(found_times)
        print(f"{name}: median {1000 * middle:.0f} ms, fastest {1000 * best:.0f} ms")
    reference, classify = times["import onnxruntime, numpy, PIL.Image"], times["resnets classify PHOTO"]
    ratio = statistics.median(classify) / statistics.median(reference)
    print(f"classify / imports: {ratio:.2f} (fastest runs: {min(classify) / min(reference):.2f})")
    alone = times["python -c pass"]
    for name in ("import resnets", "resnets --help"):
        print(f"{name}: {1000 * (statistics.median(times[name]) - statistics.median(alone)):.0f} ms above bare Python")


if __name__ == "__main__":
    main()
