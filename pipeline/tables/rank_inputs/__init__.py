"""What a rank job reads beside its images: texts, candidates, vectors of a first stage."""
