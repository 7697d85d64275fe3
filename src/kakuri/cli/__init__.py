"""The command line: ``kakuri check | plan | build | run | audit | inspect | demo | doctor | bench``.

Purpose: draw what the rooms compute; nobody else prints.
Guarantees: results go to stdout, everything else to stderr; ``--json`` gives one JSON object on stdout, also for
errors; the exit code tells kinds of errors apart (``exit_codes``); bad input never ends in a traceback.
Does not guarantee: that text meant for people stays the same between releases; programs use ``--json``.
"""
