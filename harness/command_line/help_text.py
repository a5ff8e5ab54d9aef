"""The help of ``./run.sh`` and of each verb."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness import __version__
from harness.command_line.verb import Argument, Verb
from harness.command_line.verbs import SET_UP, VERSION, all_verbs, chosen, find_verb

CONF = "a folder with configuration and modules of your own; may be repeated"
GENERAL = """\
usage: ./run.sh [VERB] [KEY=VALUE ...] [--conf DIR ...]

Regenerates the ResNet50v2 results table of MXNet's tutorial on improving accuracy with Intel Neural
Compressor: tunes every method in its own process, validates the saved models, writes CSV and Markdown.

verbs (./run.sh VERB --help: its words, examples and exit codes)
{verbs}

configuration (Hydra; conf/config.yaml shows every key)
  workload=bundled|imagenet|custom            what is measured; workload.rec=, workload.params= name files
  method=[fp32,int8_inc_mse,...]              the rows, in this order; conf/method/ has one file each
  threads=omp|kmp|none  threads.count=N       how threads are pinned
  protocol=published|careful|nightly|quick    one pass as published, or rounds with intervals
  protocol=throughput|server                  instances at once; queries that arrive at random
  protocol.sweep=[1,8,128]                    more batch sizes, with p50, p90 and p99 of a batch's time
  experiment=paper|nightly|beyond|smoke|...   several choices at once
  run.id=ID                                   continue a stopped run; what is finished stays
  run.reuse_tuned=ID                          measure an earlier run's models again, make none
  nightly.baseline=last|ID  nightly.runs=5    what a night is compared with
  table.intervals=true|false                  with 95 % intervals, or plain as published
  --conf DIR                                  a folder with configuration and modules of your own

examples
  ./run.sh
  ./run.sh workload=imagenet workload.rec=/data/val.rec workload.params=/data/resnet50_v2.params
  ./run.sh method=[fp32,fp32_fused,int8_inc_mse] threads.count=1

exit codes
  0  fine (a search without a solution and a row that the CPU cannot run are results, not failures)
  1  a verdict: a regression was found; bisect confirmed that a row became worse; cache check= or
     verify found damage or a difference
  2  the input is at fault: the message says what and what to do
  3  the harness or a method failed, a row is invalid, or the run was interrupted; what was measured
     is kept, and run.id=ID goes on with the rest

Ctrl-C once finishes the record in progress (a row, a timing of a round, the roof) and stops; twice
stops now, as do SIGTERM and the end of the terminal. Whatever is recorded stays.

Progress goes to stderr, the table to stdout; files go to results/MACHINE/RUN/ and the cache folder.

VERB --set-up makes the environment that a verb needs and does nothing else; engines' names behind it
make theirs as well. Completion of verbs, keys, choices and runs in bash:
eval "$(./run.sh completion bash)"; for zsh and fish see completion --help.
"""
WIDTH = 100
CODES = {
    0: "fine",
    2: "the input is at fault: the message says what to do",
    3: "the harness failed, or it was interrupted",
}


def help_for(words: Sequence[str]) -> str:
    """Return the help, or the version, that a command line asks for."""
    if words[:1] == [VERSION]:
        return f"inc-bench {__version__}\n"
    verb = chosen(words) if words and "=" not in words[0] else None
    if verb is None and words[:1] == ["help"] and len(words) > 1:
        verb = find_verb(words[1])
    return general_help() if verb is None else verb_help(verb)


def general_help() -> str:
    """Return the help of ``./run.sh``: all verbs, with a line each."""
    verbs = all_verbs()
    width = max(len(verb.name) for verb in verbs)
    lines = [f"  {verb.name:{width}}  {verb.summary}" for verb in verbs]
    return GENERAL.format(verbs="\n".join(lines))


def verb_help(verb: Verb) -> str:
    """Return the help of a verb: usage, words with their meaning, examples, exit codes."""
    parser = argparse.ArgumentParser(
        prog=f"./run.sh {verb.name}",
        usage=_usage(verb),
        description=_capital(verb.description or f"{verb.summary}."),
        epilog=_epilog(verb),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=30, width=WIDTH
        ),
        add_help=False,
    )
    words = parser.add_argument_group("words")
    for argument in verb.arguments:
        words.add_argument(
            argument.name,
            metavar=f"{argument.name}={argument.value}",
            nargs="?",
            help=_meaning(argument).replace("%", "%%"),
        )
    if verb.program is None:
        words.add_argument(
            "overrides",
            metavar="KEY=VALUE",
            nargs="?",
            help="words of the configuration; conf/config.yaml shows every key, ./run.sh --help the "
            "most used",
        )
    else:
        words.add_argument(
            "words", metavar=verb.program_words, nargs="?", help="handed on as they are"
        )
    options = parser.add_argument_group("options")
    for flag in verb.flags:
        options.add_argument(flag.name, action="store_true", help=flag.meaning)
    if verb.program is None:
        options.add_argument("--conf", metavar="DIR", help=CONF)
    options.add_argument(
        SET_UP, action="store_true", help="make the environment that this needs, and do no more"
    )
    options.add_argument("--help", "-h", action="store_true", help="show this")
    return parser.format_help()


def _usage(verb: Verb) -> str:
    start = f"./run.sh {verb.name} "
    if verb.program is not None:
        return f"{start}{verb.program_words}".rstrip()
    parts = []
    for argument in verb.arguments:
        part = argument.value if argument.bare else f"{argument.name}={argument.value}"
        if argument.repeats:
            parts += [f"[{part} ...]"] if argument.otherwise else [part, f"{part} ..."]
        else:
            parts.append(part if argument.required else f"[{part}]")
    parts += [f"[{flag.name}]" for flag in verb.flags]
    lines = [start]
    for part in [*parts, "[KEY=VALUE ...]", "[--conf DIR ...]"]:
        if len(lines[-1]) + len(part) > WIDTH - len("usage: "):
            lines.append(" " * len(f"usage: {start}"))
        lines[-1] += f"{part} "
    return "\n".join(line.rstrip() for line in lines)


def _meaning(argument: Argument) -> str:
    default = argument.otherwise or argument.default
    return f"{argument.meaning} (default: {default})" if default else argument.meaning


def _epilog(verb: Verb) -> str:
    codes = dict(sorted({**CODES, **({1: verb.verdict} if verb.verdict else {})}.items()))
    examples = [(f"./run.sh {verb.name} {words}".rstrip(), does) for words, does in verb.examples]
    width = max((len(words) for words, _ in examples), default=0)
    width = min(width, 60)
    lines = [f"  {words:{width}}  {does}".rstrip() for words, does in examples]
    shown = ["examples:", *lines, ""] if lines else []
    if verb.program is not None:
        return "\n".join(shown).rstrip()
    return "\n".join([*shown, "exit codes:", *(f"  {code}  {why}" for code, why in codes.items())])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
