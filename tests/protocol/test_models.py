"""The official generator of AsyncAPI makes models of the document with the names that the protocol has."""

import json
from pathlib import Path

import pytest

from tests.support.node import CHECKOUT, node
from tests.support.schemas import DOCUMENT, SCHEMAS

PROGRAM = """
import { readFileSync } from "node:fs";
import { TypeScriptGenerator } from "@asyncapi/modelina";

const document = JSON.parse(readFileSync(process.argv[1]));
const models = await new TypeScriptGenerator({ modelType: "interface" }).generate(document);
console.log(JSON.stringify(Object.fromEntries(models.map((model) => [model.modelName, model.result]))));
"""

GENERATORS = CHECKOUT / "tests" / "generators"


@pytest.mark.nightly
@pytest.mark.skipif(not (GENERATORS / "node_modules").exists(), reason="needs npm: `make coverage` installs it there")
def test_models(tmp_path: Path) -> None:
    """Each schema becomes a model of its name, and no name is made up; a model has the fields of its schema."""
    file = tmp_path / "asyncapi.json"
    file.write_text(json.dumps(DOCUMENT))
    models: dict[str, str] = json.loads(node("--input-type=module", "--eval", PROGRAM, str(file), cwd=GENERATORS))
    channel = {"Roomd"}
    unions = {name for name, schema in SCHEMAS.items() if "anyOf" in schema}  # these are written where they are used
    assert models.keys() - channel == SCHEMAS.keys() - unions
    assert not [name for name in models if "nonymous" in name]
    assert 'ROOM_LOCKED = "room_locked"' in models["ErrorCode"]
    assert "historyVisible: HistoryVisible;" in models["Room"]
    assert "reservedType: 'get-room';" in models["GetRoom"]
    assert "any" not in models["RoomReply"].replace("Map<string, any>", "")
