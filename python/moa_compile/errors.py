"""Errors of the runtime: the codes of docs/diagnostics.md. Node's `RuntimeError` has them too, but
for 63xx: models of Hugging Face run in Python alone."""

from typing import Final, NoReturn

CODES: Final = {
    "noDriver": "MOA6001",
    "noSuchDevice": "MOA6003",
    "badArgument": "MOA6004",
    "usedAfterDispose": "MOA6005",
    "outOfMemory": "MOA6006",
    "badModule": "MOA6008",
    "kernelNotFound": "MOA6009",
    "wrongParams": "MOA6010",
    "capture": "MOA6011",
    "emulatorFinding": "MOA6013",
    "deviceLost": "MOA6014",
    "driverFailure": "MOA6015",
    "sequenceFull": "MOA6101",
    "noSuchLayer": "MOA6102",
    "badTensor": "MOA6103",
    "badCuSeqlens": "MOA6104",
    "badOptions": "MOA6106",
    "noSuchSequence": "MOA6107",
    "noFreeSlot": "MOA6108",
    "poolFull": "MOA6109",
    "cannotTruncate": "MOA6110",
    "tooManyTokens": "MOA6111",
    "badCounts": "MOA6113",
    "inStep": "MOA6114",
    "packageFormat": "MOA6201",
    "packageKernel": "MOA6202",
    "packageArchitecture": "MOA6203",
    "packageDamaged": "MOA6204",
    "emulatorBuild": "MOA6205",
    "packageSources": "MOA6206",
    "packageLimits": "MOA6207",
    "modelPackage": "MOA6301",
    "modelPlacement": "MOA6302",
    "modelState": "MOA6303",
    "badCache": "MOA6304",
    "badMask": "MOA6305",
    "badPositions": "MOA6306",
    "noAttentions": "MOA6307",
    "overBound": "MOA6308",
    "notAttached": "MOA6309",
    "attached": "MOA6310",
    "unsupportedModel": "MOA6311",
    "rankGroup": "MOA6320",
    "rankPackage": "MOA6321",
    "rankModel": "MOA6322",
    "rankFailed": "MOA6323",
    "rankCheckpoint": "MOA6324",
    "rankState": "MOA6325",
}

_SESSION_HELP: Final = {
    "usedAfterDispose": "create a new session",
    "sequenceFull": "create the session with a larger length_bound, or reset it",
    "noSuchLayer": "layers count from 0",
    "badTensor": "pass a contiguous tensor of the shape in the message",
    "badCuSeqlens": "pass slots + 1 integers from 0 that never fall",
    "capture": "capture calls of decode, and of step with new_tokens, one capture at a time",
    "badOptions": "see Package.session",
    "badCounts": (
        "pass an integer from 0 for each slot, no larger than the message says: a list, or in "
        "decode a tensor of int32 on the device"
    ),
    "noSuchSequence": (
        "a slot holds a sequence from add or fork to remove; in a session that does not begin with "
        "free slots, from the beginning"
    ),
    "noFreeSlot": "remove a sequence, or create the session with more slots",
    "poolFull": "remove or truncate a sequence, or create the session with more pages",
    "tooManyTokens": (
        "compile the plan with --decode-tokens, and create the session with decode_tokens"
    ),
    "inStep": "fork when all layers have the tokens of a step",
    "cannotTruncate": (
        "compile the plan with --slack: rings then keep so many tokens more; or prefill the "
        "sequence anew"
    ),
}


# Of codes that mean the same wherever they come from.
_COMMON_HELP: Final = {
    "outOfMemory": (
        "ask for less: fewer sequences, new tokens or pages, a smaller length_bound; or free what "
        "is kept: Session.close, moa_compile.hf.release_memory(model), torch.cuda.empty_cache()"
    ),
}


class MoaError(Exception):
    """What the runtime raises. `code` is stable (`MOA6109`); `help` says what to do, and ends the
    message."""

    def __init__(self, name: str, message: str, help: str = "") -> None:
        self.code: str = CODES[name]
        self.help = help = help or _COMMON_HELP.get(name, "")
        super().__init__(f"{self.code}: {message}" + (f"\n    help: {help}" if help else ""))


def session_error(name: str, message: str) -> MoaError:
    """An error of a call of a session, with the help of its code."""
    return MoaError(name, message, _SESSION_HELP[name])


def internal(message: str) -> NoReturn:
    """A broken invariant: a mistake in moa-compile, not in the caller's code."""
    raise AssertionError(f"internal error: {message}")
