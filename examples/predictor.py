"""A notebook as a script: score, rank, answer and fill with the shipped model, on drawn scenes.

Run it as a whole, `python examples/predictor.py`, or cell by cell: editors and `jupytext` read the `# %%` lines.
"""

# %% A picture and what is on it. Any Pillow image, encoded bytes or array of pixels will do.
from random import Random

from jobs.demo import scenes
from vilt import Predictor

scene = scenes.random_scene(Random(3))
image = scenes.draw(scene, Random(3))
truth = scenes.caption(scene.things)
print("drawn: ", truth)

# %% The predictor: the code that the jobs run. `precision="auto"` is bfloat16 where the machine computes with it.
predictor = Predictor.from_pretrained("zoo://scenes", precision="float32")

# %% How well does each text fit? One retrieval logit a text, float32 (texts,).
others = scenes.false_captions(scene.things, 3, Random(4))
scores = predictor.score(image, [truth, *others])
for text, value in sorted(zip([truth, *others], scores.tolist(), strict=True), key=lambda pair: -pair[1]):
    print(f"{value:8.2f}  {text}")
assert scores.argmax() == 0, "the true caption fits best"

# %% A text alone gives the same score as among others: nothing is padded.
alone = predictor.score(image, [truth])
assert abs(float(alone[0]) - float(scores[0])) < 1e-4

# %% Every text with every image, float32 (images, texts).
second = scenes.random_scene(Random(5))
matrix = predictor.rank([image, scenes.draw(second, Random(5))], [truth, scenes.caption(second.things)])
print(matrix.round(1))

# %% Questions: the best answers and their scores.
for question in ("how many objects are there?", f"is there a {scene.things[0].color} {scene.things[0].shape}?"):
    print(question, predictor.answer(image, question, top_k=2))

# %% Masked words.
print(predictor.fill(image, truth.replace(scene.things[0].color, "[MASK]", 1)))
