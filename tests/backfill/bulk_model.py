"""The bulk put in DynamoDB's service model, for a botocore that lacks it.

The extract is of a later botocore's wheel, in the form of an "extra", which botocore's loader merges into the installed
model. To make it again: `pip download --no-deps botocore==1.44.8`, then
`python -m tests.backfill.bulk_model botocore-1.44.8-py3-none-any.whl`.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

DATA_PATH = Path(__file__).with_name("model")
"""A value of AWS_DATA_PATH."""
EXTRACT = DATA_PATH / "dynamodb" / "2012-08-10" / "service-2.sdk-extras.json"
OPERATIONS = ("StartBulkPutItems", "DescribeBulkOperation")


def extract(wheel: Path) -> dict[str, Any]:
    """Return the operations and the shapes that they reach, without the documentation."""
    with ZipFile(wheel) as files:
        model = json.loads(gzip.decompress(files.read("botocore/data/dynamodb/2012-08-10/service-2.json.gz")))
    shapes: dict[str, Any] = {}

    def reach(name: str) -> None:
        if name not in shapes:
            shapes[name] = shape = _bare(model["shapes"][name])
            members = [*shape.get("members", {}).values(), *(shape.get(part) for part in ("member", "key", "value"))]
            for member in filter(None, members):
                reach(member["shape"])

    operations = {name: _bare(model["operations"][name]) for name in OPERATIONS}
    for operation in operations.values():
        for place in (operation["input"], operation["output"], *operation["errors"]):
            reach(place["shape"])
    return {"version": 1.0, "merge": {"operations": operations, "shapes": dict(sorted(shapes.items()))}}


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if not (key == "documentation" and _is_text(item))}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


if __name__ == "__main__":
    EXTRACT.parent.mkdir(parents=True, exist_ok=True)
    EXTRACT.write_text(json.dumps(extract(Path(sys.argv[1])), indent=1) + "\n")
