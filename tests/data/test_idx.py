from __future__ import annotations

import subprocess
import sys

# Stand-ins for torchvision, imported one after the other in one process, because torch takes long to import.
SCRIPT = """
import sys
from pathlib import Path
import torch
from mlcli.data.idx import torchvision_datasets
from mlcli.errors import MlcliError

def use(folder):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'torchvision']:
        del sys.modules[name]
    sys.path.insert(0, str(Path(sys.argv[1]) / folder))

def has_schema():
    return any(schema.name == 'torchvision::nms' for schema in torch._C._jit_get_all_schemas())

use('healthy')
print(torchvision_datasets().NAME, has_schema())
use('broken')
try:
    torchvision_datasets()
except MlcliError as error:
    print(str(error).splitlines()[0], has_schema())
use('built_for_cuda')
print(torchvision_datasets().NAME, has_schema())
"""


def make_package(folder, init):
    package = folder / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(init)
    (package / "datasets.py").write_text(f"NAME = {folder.name!r}\n")


def test_operators_are_declared_only_after_the_import_failed_without_them(tmp_path):
    make_package(tmp_path / "healthy", "")
    make_package(tmp_path / "broken", "raise RuntimeError('libc is too old')\n")
    make_package(
        tmp_path / "built_for_cuda",
        "import torch\ntorch._C._dispatch_has_kernel_for_dispatch_key('torchvision::nms', 'Meta')\n",
    )
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.stdout.splitlines() == [
        "healthy False",
        "torchvision, which decodes these images, cannot be imported: libc is too old False",
        "built_for_cuda True",
    ], result.stderr
