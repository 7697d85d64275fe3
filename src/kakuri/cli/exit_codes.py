"""Exit codes, by kind of error.

| code | kind | error codes |
| --- | --- | --- |
| 0 | done | |
| 1 | a defect of Kakuri itself | anything that is no ``KakuriError`` |
| 2 | wrong use of the command | KK-C, names of attacks, networks, packings |
| 3 | the model cannot be used, or not like this | KK-M, KK-E, KK-G, KK-N, KK-O |
| 4 | a file, package or message is missing, damaged or of another kind | KK-F, KK-W |
| 5 | a key is wrong, unreadable, or where it must not be | KK-K, a message of another deployment, a signature |
| 6 | something is not installed | a missing extra or peer, KK-S (the machine cannot confine, or stopped a process) |
| 7 | data is missing, damaged or of the wrong shape | KK-D, KK-P, KK-Z |
| 8 | an audit found a leak or proved nothing | KK-A, and ``kakuri audit`` itself |
"""

from __future__ import annotations

OK, INTERNAL, USAGE, MODEL, FILE, KEY, ENVIRONMENT, DATA, AUDIT = range(9)
INTERRUPTED = 130

_BY_CODE = {
    "KK-A06": USAGE,
    "KK-A07": USAGE,
    "KK-C05": ENVIRONMENT,
    "KK-C21": ENVIRONMENT,
    "KK-E10": USAGE,
    "KK-E40": DATA,
    "KK-E41": DATA,
    "KK-F42": KEY,
    "KK-G02": USAGE,
    "KK-G03": USAGE,
    "KK-G05": USAGE,
    "KK-G06": KEY,
    "KK-G20": ENVIRONMENT,
    "KK-G23": DATA,
    "KK-G24": FILE,
    "KK-M12": ENVIRONMENT,
    "KK-M18": USAGE,
    "KK-N10": KEY,
    "KK-N13": USAGE,
    "KK-N16": USAGE,
    "KK-O01": ENVIRONMENT,
    "KK-O02": USAGE,
    "KK-O03": USAGE,
    "KK-O04": USAGE,
    "KK-O07": USAGE,
    "KK-O23": KEY,
    "KK-O24": KEY,
    "KK-O40": FILE,
    "KK-P04": MODEL,
    "KK-P10": KEY,
    "KK-P11": KEY,
    "KK-P12": KEY,
    "KK-P20": KEY,
    "KK-P21": KEY,
    "KK-P22": KEY,
    "KK-W02": USAGE,
    "KK-W04": USAGE,
    "KK-W30": USAGE,
    "KK-W40": DATA,
    "KK-W41": AUDIT,
    "KK-Z01": ENVIRONMENT,
    "KK-Z30": USAGE,
}
_BY_LETTER = {
    "A": AUDIT,
    "C": USAGE,
    "D": DATA,
    "E": MODEL,
    "F": FILE,
    "G": MODEL,
    "K": KEY,
    "M": MODEL,
    "N": MODEL,
    "O": MODEL,
    "P": DATA,
    "S": ENVIRONMENT,
    "W": FILE,
    "Z": DATA,
}


def exit_code(code: str) -> int:
    """The exit code for an error code such as ``KK-F21``."""
    return _BY_CODE.get(code, _BY_LETTER.get(code[3:4], INTERNAL))
