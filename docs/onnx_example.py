import json

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
photo = np.asarray(Image.open("photo.jpg").convert("RGB"))  # any size
# x1, y1, x2, y2, a row for each person. They should fit the person: the whole photograph is only a rough first look.
boxes = np.array([[0, 0, photo.shape[1], photo.shape[0]]], np.float32)
keypoints, scores, presence, person_score = session.run(None, {"photo": photo, "boxes": boxes})
joints = json.loads(session.get_modelmeta().custom_metadata_map["joints"])
for name, (x, y), score, there in zip(joints, keypoints[0], scores[0], presence[0], strict=True):
    if there:
        print(f"{name} {x:.1f} {y:.1f} {score:.2f}")
