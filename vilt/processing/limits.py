"""The most that an input may cost unless limits are set; a pipeline's config has the same in its section `limits`."""

DECODE_SECONDS = 60.0  # of a core, for an image of a kind that no header tells the time of
MAX_TEXT_BYTES = 2**20  # of a text: far more than the tokens that a model reads need
