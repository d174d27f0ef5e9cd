"""Adds the file SHA256SUMS to what any encoder makes."""

import hashlib
from collections.abc import Generator

from core import Artifact, Context, StepOutput, hookimpl


@hookimpl(wrapper=True)
def encode(context: Context) -> Generator[None, StepOutput | None, StepOutput | None]:
    output = yield
    if output is None:  # this engine declined
        return None
    sums = [f"{_sha256(context, artifact.path)}  {artifact.path}\n" for artifact in output.artifacts]
    (context.output / "SHA256SUMS").write_text("".join(sums))
    ours = Artifact(kind="checksums", path="SHA256SUMS", media_type="text/plain")
    return output.model_copy(update={"artifacts": (*output.artifacts, ours)})


def _sha256(context: Context, path: str) -> str:
    with (context.output / path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
