"""An engine whose parts are letters: what it writes shows who did what, and `do` says what goes wrong in a part."""

PARTS_ENGINE = """
    import os, signal, time
    from pathlib import Path

    from core import Access, Artifact, BadSource, Division, Part, PartOutput, StepOutput, hookimpl

    @hookimpl
    def child_access():
        return Access(write=(os.environ["TMPDIR"],))

    @hookimpl
    def job_started(job):
        with open(os.path.join(os.environ["TMPDIR"], "started"), "a") as file:
            file.write(job.id + " ")

    @hookimpl
    def encode(job, source, options, context):
        (context.output / "film.mp4").write_text("whole")
        return StepOutput(artifacts=(Artifact(kind="rendition", path="film.mp4", media_type="video/mp4"),))

    @hookimpl
    def divide(job, source, options, context):
        tell("divided", job)
        return Division(parts=tuple(Part(name=name, weight=2) for name in options.get("into", "abc")))

    @hookimpl
    def encode_part(job, source, part, options, context):
        tell("begun", part.name)
        for name, argument in options.get("do", {}).get(part.name, {}).items():
            globals()[name](argument, context)
        context.progress(1.0, 1.0)
        (context.output / "text").write_text(part.name)
        files = (Artifact(kind="part", path="text", media_type="text/plain"),)
        return PartOutput(part=part, artifacts=files, facts={"worker": os.getppid()})

    @hookimpl
    def join(job, source, parts, options, context):
        (context.output / "film.mp4").write_text("".join((part.folder / "text").read_text() for part in parts))
        return StepOutput(artifacts=(Artifact(kind="rendition", path="film.mp4", media_type="video/mp4"),))

    def tell(what, of):
        with open(os.path.join(os.environ["TMPDIR"], what), "a") as file:
            file.write(str(getattr(of, "id", of)) + " ")

    def refuse(words, context):
        raise BadSource(words)

    def refuse_once(words, context):
        if not list(context.job_folder.glob("retry.*")):
            raise BadSource(words)

    def kill_once(signal_name, context):
        if context.attempt == 1:
            os.kill(os.getpid(), getattr(signal, signal_name))

    def kill(signal_name, context):
        os.kill(os.getpid(), getattr(signal, signal_name))

    def sleep(seconds, context):
        Path(os.environ["TMPDIR"], "child-" + context.workdir.parent.name).write_text(str(os.getpid()))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            context.progress(max(seconds - (end - time.monotonic()), 0), seconds)
            time.sleep(0.05)

    def sleep_once(seconds, context):
        if context.attempt == 1:
            sleep(seconds, context)
"""
