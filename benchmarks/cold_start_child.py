"""The process that benchmarks/cold_start.py measures: its arguments are PACKAGE MODULE START, its input the event."""

# ruff: noqa: E402 - the clock is read before anything is imported, and imports are measured where they are made
import time

STARTED = time.process_time()

import json  # as Lambda's runtime does, before it loads the function
import os
import sys

spent: dict[str, float] = {}
"""CPU seconds of the imports of each top-level package."""
_nested = [0.0]
_importlib = sys.modules["_frozen_importlib"].__dict__
_original = _importlib["_find_and_load"]


def _find_and_load(name, import_):  # type: ignore[no-untyped-def]  # a private function without types
    """Import a module, and add its time, without that of the modules which it imports, to its package."""
    began = time.process_time()
    _nested.append(0.0)
    try:
        return _original(name, import_)
    finally:
        took = time.process_time() - began
        package = name.partition(".")[0]
        package = "standard library" if package in sys.stdlib_module_names else package
        spent[package] = spent.get(package, 0.0) + took - _nested.pop()
        _nested[-1] += took


class Context:
    """Lambda's context, as far as a function uses it."""

    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:measured"

    def get_remaining_time_in_millis(self) -> int:
        """Return a minute and more: the manifest keeps two of them."""
        return 600_000


def _main() -> None:
    package, module, start = sys.argv[1:]
    event = json.loads(sys.stdin.read())
    sys.path.insert(0, package)
    before = set(sys.modules)
    began = time.process_time()
    _importlib["_find_and_load"] = _find_and_load
    in_lambda = os.environ.pop("AWS_LAMBDA_FUNCTION_NAME")  # with it, the module starts itself
    __import__(module)
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = in_lambda
    loaded = sys.modules[module]
    exec(start, vars(loaded))
    imported, ready = sum(spent.values()), time.process_time()
    handler = loaded.handler
    handler(event, Context())
    ended, all_imported = time.process_time(), sum(spent.values())
    parts = {
        "interpreter": began,
        "imports": all_imported,
        "clients": ready - began - imported,
        "first batch": ended - ready - (all_imported - imported),
    }
    handler(event, Context())
    parts["the next one"] = time.process_time() - ended
    result = {
        "total": ended * 1000,
        "parts": {name: seconds * 1000 for name, seconds in parts.items()},
        "imports": {name: seconds * 1000 for name, seconds in spent.items()},
        "modules": len(set(sys.modules) - before),
    }
    print()
    print(json.dumps(result))


_main()
