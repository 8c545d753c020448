"""The inputs and outputs of the ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from scipy.special import softmax

from mlcli.config.schema import CnnModel
from mlcli.convert.formats import TrainedModel
from mlcli.convert.formats.onnx import OnnxFormat
from mlcli.models.layers import build_network
from mlcli.models.weights import initial_weights
from mlcli.records import Scaling


def test_the_file_accepts_any_number_of_raw_images_and_returns_logits_and_probabilities(tmp_path):
    network = build_network(CnnModel(channels=(3,), hidden=6, dropout=0.5), (1, 9, 9), 4)
    model = TrainedModel(network, initial_weights(network, 0), Scaling("standard", np.array(30.0), 80.0), "float32")
    path = tmp_path / "model.onnx"
    path.write_bytes(OnnxFormat().content(model))
    document = onnx.load(path)
    assert (document.producer_name, document.opset_import[0].version) == ("mlcli", 17)
    assert {"0.weight", "0.bias"} <= {constant.name for constant in document.graph.initializer}
    session = onnxruntime.InferenceSession(path)
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 9, 9)).astype(np.float32)
    logits, probabilities = session.run(None, {"x": images})
    assert logits.shape == (7, 4)
    np.testing.assert_allclose(probabilities, softmax(logits, axis=1), rtol=1e-5)
    (one,) = session.run(["logits"], {"x": images[3:4]})
    np.testing.assert_allclose(one[0], logits[3], rtol=1e-5, atol=1e-6)
