"""Plugins as admins meet them: distributions on the path, some of them broken. One test a hook at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import typer
from fastapi import APIRouter

from core.callbacks import webhook
from core.cli import plugins
from core.context import Context
from core.errors import (
    AmbiguousEngine,
    BadCall,
    BadSettings,
    BadSource,
    EngineMissing,
    HookFailed,
    OptionConflict,
    Permanent,
)
from core.findings import Finding
from core.model import (
    Access,
    Artifact,
    Destination,
    Job,
    Manifest,
    Part,
    PartOutput,
    Plan,
    Segment,
    Source,
    State,
    StepResult,
    Transcript,
    Work,
    now,
)
from core.pipeline import planning
from core.plugin_host.loader import PluginInfo
from core.plugin_host.manager import Manager, specifications
from core.pod import callback_kinds
from core.process.dispatch import run
from core.settings import Settings
from core.storage.job_folder import store
from core.storage.job_state import fold
from plugins.xapi.settings import XapiSettings

from ...conftest import InstallPlugin

IMPORTS = "from core import *\nfrom core import hookimpl\n\n"

ENGINE = """
@hookimpl
def encode(options):
    return StepOutput(artifacts=(), facts={"by": __name__, **options})
"""

DECLINING_ENGINE = """
@hookimpl
def encode():
    return None
"""

ENGINE_WITH_OPTIONS = (
    """
from pydantic import BaseModel, Field

class Options(BaseModel):
    profile: str = "pod"
    crf: int = Field(default=20, ge=0, le=51)

@hookimpl
def options_schema(step):
    return Options if step == "encode" else None
"""
    + ENGINE
)


def overlay(**options: object) -> str:
    return f"""
@hookimpl
def step_options(job, step):
    return {options!r} if step == "encode" else None
"""


@pytest.fixture
def load(install_plugin: InstallPlugin) -> Callable[..., Manager]:
    """Install plugins, written as `name=code`, and load them alone with the settings given."""

    def load(settings: dict[str, object] | None = None, **plugins: str) -> Manager:
        for name, code in plugins.items():
            install_plugin(name, IMPORTS + code)
        return Manager(Settings.model_validate({"plugins_only": tuple(plugins)} | (settings or {})))

    return load


Load = Callable[..., Manager]


@pytest.fixture
def job() -> Job:
    return Job(id="j1", sources=(Source(path=Path("lecture.mp4")),), steps=("encode",))


@pytest.fixture
def manifest(job: Job, tmp_path: Path) -> Manifest:
    folder, _ = store(job, tmp_path / "root")
    return fold(folder)


@pytest.fixture
def context(manifest: Manifest, tmp_path: Path) -> Context:
    return Context(
        step="encode",
        attempt=1,
        workdir=tmp_path,
        output=tmp_path,
        published=tmp_path,
        manifest=manifest,
        job_folder=tmp_path,
        log=structlog.get_logger(),
    )


def info(manager: Manager, name: str) -> PluginInfo:
    return next(info for info in manager.infos if info.name == name)


def encoded_by(manager: Manager, job: Job, context: Context) -> str:
    """Do the step as the child process does, and tell which engine did it."""
    engine, _ = run("encode", Work(), manager, job, planning.make_plan(manager, job, "encode"), context)
    return engine.plugin


# Broken plugins


BROKEN = {
    "import_error": ("import nowhere_to_be_found", "failed", "ModuleNotFoundError: No module named 'nowhere_to_be"),
    "syntax_error": ("def (", "failed", "SyntaxError"),
    "unknown_hook": ("@hookimpl\ndef encoed(job): ...", "invalid", "unknown hook 'encoed'"),
    "bad_argument": ("@hookimpl\ndef encode(job, film): ...", "invalid", "film"),
    "default": ("@hookimpl\ndef encode(job, options=None): ...", "invalid", "'options' has a default"),
    "nothing_marked": (
        "def encode(job): ...",
        "invalid",
        "it implements no hook: mark its functions with @core.hookimpl",
    ),
    "old_wrapper": ("@hookimpl(hookwrapper=True)\ndef encode(job):\n    yield", "invalid", "old-style wrapper"),
    "raising": ("@hookimpl\ndef configure():\n    raise KeyError('no token')", "failed", "KeyError: 'no token'"),
    "unavailable": (
        "@hookimpl\ndef configure():\n    raise PluginUnavailable('pip install gpu-tools')",
        "unavailable",
        "pip install gpu-tools",
    ),
    "mistaken": (
        "from core import errors\n@hookimpl\ndef configure():\n    raise errors.BadSettings('no key: set KEY')",
        "failed",
        "no key: set KEY",
    ),
    "both": (
        """
class Both:
    @hookimpl(specname="encode")
    def do(self, job): ...

    @hookimpl(specname="encode", wrapper=True)
    def wrap(self, job):
        return (yield)

import sys
sys.modules[__name__] = Both()
""",
        "invalid",
        "can't both do it and wrap it",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_left_out_and_named_with_its_reason(name: str, load: Load) -> None:
    code, state, reason = BROKEN[name]
    found = info(load(**{name: code}), name)
    assert (found.state, found.distribution, found.version) == (state, f"amphipod-{name.replace('_', '-')}", "1.0")
    assert reason in found.reason
    assert "\n" not in found.reason


def test_the_others_work_beside_every_kind_of_broken_plugin(load: Load, job: Job, context: Context) -> None:
    manager = load(aaa=ENGINE, zzz=overlay(crf=18), **{name: code for name, (code, _, _) in BROKEN.items()})
    assert {one.name for one in manager.infos if one.state == "ready"} == {"aaa", "zzz"}
    assert encoded_by(manager, job, context) == "aaa"
    assert planning.make_plan(manager, job, "encode").options == {"crf": 18}


def test_a_broken_plugin_hears_no_hook(load: Load, job: Job) -> None:
    failing = "\n@hookimpl\ndef configure():\n    raise OSError"
    assert load(half=overlay(crf=18) + failing).step_options(job, "encode") == []


def test_strict_hosts_refuse_to_work_beside_a_broken_plugin(load: Load) -> None:
    with pytest.raises(BadSettings, match=r"plugin broken \(amphipod-broken 1\.0\): .*no_such_module"):
        load({"plugins_strict": True}, broken="import no_such_module", good=ENGINE)


def test_strict_hosts_work_beside_an_unavailable_plugin(load: Load) -> None:
    manager = load({"plugins_strict": True}, off="@hookimpl\ndef configure():\n    raise PluginUnavailable('no GPU')")
    assert info(manager, "off").state == "unavailable"


def test_a_blocked_plugin_is_not_even_imported(load: Load) -> None:
    manager = load({"plugins_only": (), "plugins_blocked": ("bomb",)}, bomb="raise SystemExit")
    assert (info(manager, "bomb").state, info(manager, "bomb").hooks) == ("blocked", ())


def test_of_two_plugins_with_one_name_the_second_distribution_is_left_out(install_plugin: InstallPlugin) -> None:
    install_plugin("twin", IMPORTS + ENGINE, distribution="amphipod-a")
    install_plugin("twin", IMPORTS + ENGINE, distribution="amphipod-b")
    twins = [one for one in Manager(Settings(plugins_only=("twin",))).infos if one.name == "twin"]
    assert [(one.distribution, one.state) for one in twins] == [("amphipod-a", "ready"), ("amphipod-b", "invalid")]
    assert "amphipod-a has a plugin of this name" in twins[1].reason


def test_a_third_party_can_t_take_a_built_in_plugin_s_name(install_plugin: InstallPlugin) -> None:
    install_plugin("encode", IMPORTS + ENGINE, distribution="aaa-encode")
    found = [one for one in Manager(Settings()).infos if one.name == "encode"]
    assert [(one.distribution, one.state) for one in found] == [("amphipod", "ready"), ("aaa-encode", "invalid")]


def test_one_module_under_two_names_is_loaded_once(load: Load, tmp_path: Path, install_plugin: InstallPlugin) -> None:
    install_plugin("one", IMPORTS + ENGINE)
    (tmp_path / "site/amphipod_one-1.0.dist-info/entry_points.txt").write_text("[amphipod]\none = one\ntwo = one\n")
    manager = Manager(Settings(plugins_only=("one", "two")))
    assert (info(manager, "one").state, info(manager, "two").state) == ("ready", "failed")
    assert manager.engines("encode") == ("one",)


def test_metadata_that_an_uninstall_left_behind_hurts_nobody(load: Load, tmp_path: Path) -> None:
    rest = tmp_path / "site" / "rest-1.0.dist-info"
    rest.mkdir()
    (rest / "entry_points.txt").write_text("[amphipod]\nrest = rest\n")
    manager = load({"plugins_only": ("rest", "good")}, good=ENGINE)
    assert info(manager, "good").state == "ready"
    assert info(manager, "rest").state == "failed"


# Which engine


def test_the_only_engine_does_the_step(load: Load, job: Job, context: Context) -> None:
    assert encoded_by(load(one=ENGINE), job, context) == "one"


def test_of_several_engines_the_job_names_one(load: Load, job: Job, context: Context) -> None:
    manager = load(one=ENGINE, two=ENGINE)
    for name in ("one", "two"):
        asked = job.model_copy(update={"engines": {"encode": name}})
        assert encoded_by(manager, asked, context) == name


def test_of_several_engines_the_settings_name_one(load: Load, job: Job, context: Context) -> None:
    assert encoded_by(load({"engines": {"encode": ["two"]}}, one=ENGINE, two=ENGINE), job, context) == "two"


def test_the_job_wins_over_the_settings(load: Load, job: Job, context: Context) -> None:
    manager = load({"engines": {"encode": ["two"]}}, one=ENGINE, two=ENGINE)
    assert encoded_by(manager, job.model_copy(update={"engines": {"encode": "one"}}), context) == "one"


def test_an_installed_engine_never_takes_over_by_accident(load: Load, job: Job) -> None:
    with pytest.raises(AmbiguousEngine, match=r'one and two can all do it: .*AMPHIPOD_ENGINES=.{"encode": \["one"\]}'):
        planning.make_plan(load(one=ENGINE, two=ENGINE), job, "encode")


def test_an_engine_that_declines_leaves_the_step_to_the_next(load: Load, job: Job, context: Context) -> None:
    manager = load({"engines": {"encode": ["picky", "one"]}}, one=ENGINE, picky=DECLINING_ENGINE)
    assert encoded_by(manager, job, context) == "one"


def test_when_all_decline_the_step_fails_and_says_who_did(load: Load, job: Job, context: Context) -> None:
    with pytest.raises(Permanent, match="declined by picky"):
        encoded_by(load(picky=DECLINING_ENGINE), job, context)


def test_a_missing_engine_is_named(load: Load, job: Job) -> None:
    with pytest.raises(EngineMissing, match="no engine named turbo is installed"):
        planning.make_plan(load(one=ENGINE), job.model_copy(update={"engines": {"encode": "turbo"}}), "encode")


def test_an_engine_that_can_t_work_here_is_named_with_its_reason(load: Load, job: Job) -> None:
    gpu = ENGINE + "\n@hookimpl\ndef configure():\n    raise PluginUnavailable('no GPU here')"
    with pytest.raises(EngineMissing, match="gpu is unavailable, no GPU here"):
        planning.make_plan(load({"engines": {"encode": ["gpu"]}}, gpu=gpu), job, "encode")


def test_a_plan_names_distribution_and_version_of_its_engines(load: Load, job: Job) -> None:
    (engine,) = planning.make_plan(load(one=ENGINE), job, "encode").engines
    assert (engine.plugin, engine.distribution, engine.version) == ("one", "amphipod-one", "1.0")


# Options


def test_options_come_from_settings_then_plugins_then_the_job(load: Load, job: Job) -> None:
    manager = load(
        {"options": {"a": "settings", "b": "settings", "c": "settings"}}, one=ENGINE, uni=overlay(b="uni", c="uni")
    )
    plan = planning.make_plan(manager, job.model_copy(update={"options": {"c": "job"}}), "encode")
    assert plan.options == {"a": "settings", "b": "uni", "c": "job"}
    assert plan.origins == {"a": "settings", "b": "uni", "c": "job"}


def test_defaults_of_the_engine_s_schema_fill_the_rest(load: Load, job: Job) -> None:
    plan = planning.make_plan(load(one=ENGINE_WITH_OPTIONS), job.model_copy(update={"options": {"crf": 30}}), "encode")
    assert (plan.options, plan.origins) == ({"profile": "pod", "crf": 30}, {"crf": "job"})


def test_two_plugins_that_set_an_option_differently_are_refused(load: Load, job: Job) -> None:
    manager = load(one=ENGINE, uni=overlay(crf=18), dept=overlay(crf=25))
    with pytest.raises(
        OptionConflict, match=r"dept and uni set the option 'crf' differently: .*PLUGINS_ORDER=dept,uni"
    ):
        planning.make_plan(manager, job, "encode")


def test_two_plugins_may_agree(load: Load, job: Job) -> None:
    assert planning.make_plan(load(one=ENGINE, uni=overlay(crf=18), dept=overlay(crf=18)), job, "encode").options == {
        "crf": 18
    }


@pytest.mark.parametrize(("order", "crf"), [(("uni", "dept"), 25), (("dept", "uni"), 18)])
def test_of_two_plugins_that_are_ordered_the_last_wins(order: tuple[str, ...], crf: int, load: Load, job: Job) -> None:
    manager = load({"plugins_order": order}, one=ENGINE, uni=overlay(crf=18), dept=overlay(crf=25))
    assert planning.make_plan(manager, job, "encode").options == {"crf": crf}


def test_a_wrong_value_names_the_option_and_who_set_it(load: Load, job: Job) -> None:
    manager = load(one=ENGINE_WITH_OPTIONS, uni=overlay(crf=99))
    with pytest.raises(BadCall, match=r"encode: option 'crf' \(set by uni\) must be 51 or less, not 99"):
        planning.make_plan(manager, job, "encode")


def test_an_unknown_option_is_refused_with_the_nearest_one(load: Load, job: Job) -> None:
    asked = job.model_copy(update={"options": {"profil": "lecture"}})
    with pytest.raises(BadCall, match="no step of this job has an option 'profil': did you mean 'profile'"):
        planning.check_options(load(one=ENGINE_WITH_OPTIONS), asked)


def test_without_a_schema_every_option_reaches_the_engine(load: Load, job: Job) -> None:
    manager, asked = load(one=ENGINE), job.model_copy(update={"options": {"anything": 1}})
    planning.check_options(manager, asked)
    assert planning.make_plan(manager, asked, "encode").options == {"anything": 1}


def test_equal_options_have_equal_digests_whatever_their_order(load: Load, job: Job) -> None:
    manager = load(one=ENGINE)
    one, other, third = (
        planning.make_plan(manager, job.model_copy(update={"options": options}), "encode").digest
        for options in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})
    )
    assert one == other != third


# Wrappers


WRAPPER = """
@hookimpl(wrapper=True)
def encode():
    output = yield
    return output and output.model_copy(update={"notes": (*output.notes, "wrapped")})
"""


def test_a_wrapper_changes_what_any_engine_made(load: Load, job: Job, context: Context) -> None:
    manager = load(one=ENGINE, two=ENGINE, wrap=WRAPPER)
    for engine in ("one", "two"):
        output = manager.encode(engine, job, job.source, {}, context)
        assert output
        assert (output.facts["by"], output.notes) == (engine, ("wrapped",))


def test_a_wrapper_is_no_engine(load: Load) -> None:
    assert load(one=ENGINE, wrap=WRAPPER).engines("encode") == ("one",)


def test_a_wrapper_lets_an_engine_decline(load: Load, job: Job, context: Context) -> None:
    assert load(picky=DECLINING_ENGINE, wrap=WRAPPER).encode("picky", job, job.source, {}, context) is None


# Failures


def test_a_plugin_s_own_exception_names_the_plugin_and_keeps_its_cause(load: Load, job: Job, context: Context) -> None:
    manager = load(bad="@hookimpl\ndef encode():\n    return {}['missing']")
    with pytest.raises(HookFailed, match="plugin bad failed in encode: KeyError: 'missing'") as caught:
        manager.encode("bad", job, job.source, {}, context)
    assert caught.value.plugin == "bad"
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_plugin_in_whose_code_it_arose_is_blamed_not_the_one_around_it(
    load: Load, job: Job, context: Context
) -> None:
    manager = load(bad="@hookimpl\ndef encode():\n    raise ValueError", wrap=WRAPPER)
    with pytest.raises(HookFailed) as caught:
        manager.encode("bad", job, job.source, {}, context)
    assert caught.value.plugin == "bad"


def test_a_failing_wrapper_is_blamed_itself(load: Load, job: Job, context: Context) -> None:
    manager = load(one=ENGINE, wrap="@hookimpl(wrapper=True)\ndef encode():\n    yield\n    raise ValueError('mine')")
    with pytest.raises(HookFailed) as caught:
        manager.encode("one", job, job.source, {}, context)
    assert caught.value.plugin == "wrap"


def test_an_error_of_amphipod_s_own_family_passes_unchanged_but_for_the_plugin(
    load: Load, job: Job, context: Context
) -> None:
    with pytest.raises(BadSource, match=r"^no pictures$") as caught:
        load(bad="@hookimpl\ndef encode():\n    raise BadSource('no pictures')").encode(
            "bad", job, job.source, {}, context
        )
    assert caught.value.plugin == "bad"


def test_an_observer_that_fails_hides_nothing_from_the_next(
    load: Load, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    manager = load(
        bad="@hookimpl\ndef job_started():\n    raise ValueError('mine')",
        good="seen = []\n@hookimpl\ndef job_started(job):\n    seen.append(job.id)",
    )
    manager.job_started(job)
    assert loaded("good").seen == ["j1"]


# Each hook


def loaded(name: str) -> SimpleNamespace:
    """Return an installed plugin's module, to look at what it noted."""
    return SimpleNamespace(**vars(__import__(name)))


def test_hook_configure(load: Load) -> None:
    load({"threads": 3}, one="seen = []\n@hookimpl\ndef configure(settings):\n    seen.append(settings.threads)")
    assert loaded("one").seen == [3]


def test_hook_keeps_time(load: Load, job: Job) -> None:
    manager = load(one=ENGINE + "\n@hookimpl\ndef keeps_time(options):\n    return not options['cut']", two=ENGINE)
    assert manager.keeps_time("one", job, {"cut": 0}) is True
    assert manager.keeps_time("one", job, {"cut": 1}) is False
    assert manager.keeps_time("two", job, {"cut": 0}) is False


STEP = """
from core import Artifact, StepOutput, StepSpec

@hookimpl
def register_steps():
    return [StepSpec(name="index", queue="indexing", needs=("encode",), summary="list the words on the slides")]

@hookimpl
def run_step(job, step, manifest, options, context):
    (context.output / "words.txt").write_text(f"{step} of {job.id} by {__name__}")
    return StepOutput(artifacts=(Artifact(kind="other", path="words.txt", media_type="text/plain"),))
"""


def test_hook_register_steps(load: Load) -> None:
    manager = load(one=STEP)
    assert list(manager.steps.specs) == ["compose", "encode", "transcribe", "index", "emit"]
    assert manager.steps.queues()["indexing"] is True
    assert manager.engines("index") == ("one",)


def test_two_plugins_that_declare_a_step_alike_are_both_engines_for_it(load: Load) -> None:
    assert load(one=STEP, two=STEP).engines("index") == ("one", "two")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("indexing", "encoding"), "one declares a step index differently: name it otherwise"),
        (('name="index"', 'name="encode"'), "amphipod declares a step encode differently: name it otherwise"),
        (('name="index", queue="indexing"', 'name="other", queue="xapi"'), "step other can't be on xapi: name a queue"),
        (
            ('name="index", queue="indexing", needs=("encode",)', 'name="x", queue="x", needs=("emit",)'),
            "wait for each other: mend what they need",
        ),
        (('name="index"', 'name="Index"'), "a wrong StepSpec: name: must match"),
        (('name="index"', 'name="finish"'), "finish is core's own"),
    ],
)
def test_a_step_that_contradicts_what_is_there_is_left_out_with_its_plugin(
    load: Load, change: tuple[str, str], words: str
) -> None:
    manager = load(one=STEP, two=STEP.replace(*change))
    info = next(one for one in manager.infos if one.name == "two")
    assert info.state == "invalid"
    assert words in info.reason
    assert manager.engines("index") == ("one",)


def test_hook_run_step(load: Load, job: Job, context: Context, manifest: Manifest) -> None:
    output = load(one=STEP).run_step("one", job, "index", manifest, {}, context)
    assert output
    assert [artifact.path for artifact in output.artifacts] == ["words.txt"]
    assert (context.output / "words.txt").read_text() == "index of j1 by one"


def test_hook_options_schema(load: Load) -> None:
    manager = load(one=ENGINE_WITH_OPTIONS)
    schema = manager.options_schema("encode", "one")
    assert schema
    assert list(schema.model_fields) == ["profile", "crf"]
    assert manager.options_schema("emit", "one") is None


def test_hook_step_options(load: Load, job: Job) -> None:
    manager = load(uni=overlay(crf=18), dept=overlay(profile="lecture"))
    assert manager.step_options(job, "encode") == [("dept", {"profile": "lecture"}), ("uni", {"crf": 18})]
    assert manager.step_options(job, "emit") == []


FORETELLING = """
@hookimpl
def file_names(step, options):
    return [f"{__name__}_*.txt"] if step == options.get("of", "transcribe") else None
"""


def test_hook_file_names(load: Load, job: Job) -> None:
    manager = load(
        ear=HEARING, ink=WRITING + FORETELLING, pen=WRITING + FORETELLING, one=ENGINE + FORETELLING, two=ENGINE
    )
    captions = planning.make_plan(manager, job, "transcribe")
    named = Job(id="j2", sources=job.sources, steps=("encode",), options={"of": "encode"}, engines={"encode": "one"})
    silent = named.model_copy(update={"engines": {"encode": "two"}})

    assert manager.file_names(job, "transcribe", captions) == ("ink_*.txt", "pen_*.txt")
    assert manager.file_names(named, "encode", planning.make_plan(manager, named, "encode")) == ("one_*.txt",)
    assert manager.file_names(silent, "encode", planning.make_plan(manager, silent, "encode")) is None


CHECKING_STEP = """
@hookimpl
def check_step(job, step, options):
    if job.language == "tlh":
        raise BadCall("nobody knows Klingon")
    if job.language != "auto":
        raise PluginUnavailable("no model", remedy="fetch it")
"""


def test_hook_check_step(load: Load, job: Job) -> None:
    manager = load(able=ENGINE + CHECKING_STEP)
    plan = planning.make_plan(manager, job, "encode")
    manager.check_step(job, "encode", plan)
    with pytest.raises(EngineMissing, match=r"^encode: no model: fetch it$"):
        manager.check_step(job.model_copy(update={"language": "fr"}), "encode", plan)
    with pytest.raises(BadCall, match=r"^nobody knows Klingon$"):
        manager.check_step(job.model_copy(update={"language": "tlh"}), "encode", plan)


def test_hook_child_access(load: Load, job: Job) -> None:
    access = "\n@hookimpl\ndef child_access(options):\n    return Access(read=(options.get('model', '/srv/models'),))\n"
    manager = load(able=ENGINE + access, other=access.replace("models", "elsewhere"))
    plan = planning.make_plan(manager, job, "encode")
    assert manager.child_access(job, "encode", plan) == Access(read=(Path("/srv/models"),)), "others don't work in it"


def test_a_transcription_that_nobody_can_write_down_is_refused(load: Load, job: Job) -> None:
    manager = load(deaf="@hookimpl\ndef transcribe(): ...")
    with pytest.raises(EngineMissing, match="no installed plugin writes captions"):
        manager.check_step(job, "transcribe", planning.make_plan(manager, job, "transcribe"))


def test_a_slip_in_the_host_s_own_options_is_told(load: Load) -> None:
    manager = load({"options": {"profil": "lecture", "model": "small"}}, one=ENGINE_WITH_OPTIONS)
    assert planning.unknown_options(manager) == "no step has an option 'profil': did you mean 'profile'?"


def test_hook_encode(load: Load, job: Job, context: Context) -> None:
    output = load(one=ENGINE).encode("one", job, job.source, {"crf": 18}, context)
    assert output
    assert output.facts == {"by": "one", "crf": 18}


DIVIDING = """
@hookimpl
def divide(source, options):
    halves = [Part(name=name, weight=2.0, facts={"of": source.path.name}) for name in ("a", "b")]
    return Division(parts=halves) if options.get("long") else None

@hookimpl
def encode_part(part, context):
    (context.output / part.name).touch()
    files = [Artifact(kind="part", path=part.name, media_type="video/mp4")]
    return PartOutput(part=part, artifacts=files, facts=part.facts)

@hookimpl
def join(parts, context):
    return StepOutput(artifacts=(), facts={"joined": [str(part.folder / part.part.name) for part in parts]})
"""


def test_hook_divide(load: Load, job: Job, context: Context) -> None:
    manager = load(one=ENGINE + DIVIDING)
    assert manager.divide("one", job, job.source, {}, context) is None
    divided = manager.divide("one", job, job.source, {"long": True}, context)
    assert divided
    assert [(part.name, part.facts) for part in divided.parts] == [
        ("a", {"of": "lecture.mp4"}),
        ("b", {"of": "lecture.mp4"}),
    ]


def test_hook_encode_part(load: Load, job: Job, context: Context) -> None:
    part = Part(name="a", weight=2.0, facts={"of": "x"})
    made = load(one=ENGINE + DIVIDING).encode_part("one", job, job.source, part, {}, context)
    assert made
    assert [artifact.path for artifact in made.artifacts] == ["a"]
    assert made.facts == {"of": "x"}


def test_hook_join(load: Load, job: Job, context: Context, tmp_path: Path) -> None:
    parts = [PartOutput(part=Part(name=name, weight=1.0), folder=tmp_path, artifacts=()) for name in ("a", "b")]
    made = load(one=ENGINE + DIVIDING).join("one", job, job.source, parts, {}, context)
    assert made
    assert made.facts["joined"] == [f"{tmp_path}/a", f"{tmp_path}/b"]


def test_an_engine_that_lacks_one_of_the_three_hooks_works_whole(load: Load) -> None:
    manager = load(whole=ENGINE, divided=ENGINE + DIVIDING)
    assert [manager.can_divide("encode", name) for name in ("whole", "divided")] == [False, True]
    assert not manager.can_divide("transcribe", "divided")


def test_hook_compose(load: Load, context: Context) -> None:
    code = """
@hookimpl
def compose(sources, context):
    (context.output / "film.mp4").write_text(" + ".join(source.role for source in sources))
    return StepOutput(artifacts=[Artifact(kind="film", path="film.mp4", media_type="video/mp4")])
"""
    takes = (
        Source(path=Path("me.webm"), role="presenter"),
        Source(path=Path("slides.webm"), role="presentation"),
    )
    job = Job(id="j2", sources=takes, steps=("compose", "encode"))
    made = load(one=code).compose("one", job, job.sources, {}, context)
    assert made
    assert made.artifacts == (Artifact(kind="film", path="film.mp4", media_type="video/mp4"),)
    assert (context.output / "film.mp4").read_text() == "presenter + presentation"


HEARING = """
@hookimpl
def transcribe(job, audio):
    return Transcript(language=job.language, segments=(Segment(text=audio.name, start=0, end=1),))
"""

WRITING = """
@hookimpl
def write_captions(transcript, context):
    path = f"{__name__}_{transcript.language}.txt"
    (context.output / path).write_text(transcript.segments[0].text)
    return [Artifact(kind="caption", path=path, media_type="text/plain", language=transcript.language)]
"""


def test_hook_transcribe(load: Load, job: Job, context: Context) -> None:
    heard = load(ear=HEARING).transcribe("ear", job, Path("speech.mp3"), {}, context)
    assert heard == Transcript(language="auto", segments=(Segment(text="speech.mp3", start=0, end=1),))


def test_hook_write_captions(load: Load, job: Job, context: Context) -> None:
    transcript = Transcript(language="fr", segments=(Segment(text="Bonjour", start=0, end=1),))
    written = load(ink=WRITING, pen=WRITING).write_captions(job, transcript, {}, context)
    assert {artifact.path for artifact in written if isinstance(artifact, Artifact)} == {"ink_fr.txt", "pen_fr.txt"}
    assert (context.output / "pen_fr.txt").read_text() == "Bonjour"


BUILDING = """
@hookimpl
def build_statements(job, manifest):
    return [{"id": f"{__name__}-{job.id}", "state": manifest.state}]
"""


def test_hook_build_statements(load: Load, job: Job, manifest: Manifest) -> None:
    built = load(one=BUILDING, two=BUILDING).build_statements(job, manifest)
    assert sorted(statement["id"] for statement in built) == ["one-j1", "two-j1"]


LRS = Destination(name="lrs", url="http://lrs.example")

CHECKING = "@hookimpl\ndef check_statement(statement):\n    return None if 'verb' in statement else 'verb: missing'"


def test_hook_check_statement(load: Load) -> None:
    manager = load(a=CHECKING)
    assert manager.check_statement({}) == "verb: missing"
    assert manager.check_statement({"verb": {}}) is None


ADDING = "@hookimpl\ndef prepare_statement(statement):\n    return {**statement, 'by': [*statement['by'], __name__]}"


def test_hook_prepare_statement(load: Load, job: Job) -> None:
    manager = load(a=ADDING, b="@hookimpl\ndef prepare_statement(statement):\n    return None", c=ADDING)
    assert manager.prepare_statement({"by": []}, LRS, job) == {"by": ["a", "c"]}


def test_what_is_marked_trylast_prepares_last(load: Load) -> None:
    manager = load(a=ADDING.replace("hookimpl", "hookimpl(trylast=True)"), b=ADDING)
    assert manager.prepare_statement({"by": []}, LRS, None) == {"by": ["b", "a"]}


def test_a_plugin_keeps_a_statement_from_one_store(load: Load) -> None:
    manager = load(
        a="@hookimpl\ndef prepare_statement(destination):\n    return DROP if destination.name == 'lrs' else None"
    )
    assert manager.prepare_statement({"id": "1"}, LRS, None) is None
    assert manager.prepare_statement({"id": "1"}, Destination(name="archive", url="x"), None) == {"id": "1"}


def test_a_dropped_statement_reaches_no_later_plugin(load: Load, job: Job) -> None:
    manager = load(
        a="@hookimpl\ndef prepare_statement():\n    return DROP",
        b="@hookimpl\ndef prepare_statement():\n    raise AssertionError('was to be dropped')",
    )
    assert manager.prepare_statement({"by": []}, LRS, job) is None


def test_a_statement_that_a_plugin_fails_on_is_not_sent(load: Load, job: Job) -> None:
    with pytest.raises(HookFailed, match="plugin a failed in prepare_statement"):
        load(a="@hookimpl\ndef prepare_statement():\n    raise ValueError('no salt')").prepare_statement({}, LRS, job)


def test_hook_examine_host(load: Load) -> None:
    code = "@hookimpl\ndef examine_host():\n    return [Finding('disk', ok=False, words='full')]"
    assert load(a=code).examine_host() == [Finding("disk", ok=False, words="full")]


NAMING = "@hookimpl\ndef statement_destinations():\n    return [Destination(name=__name__, url='http://lrs.example')]"


def test_hook_statement_destinations(load: Load) -> None:
    assert {one.name for one in load(lrs=NAMING, archive=NAMING).statement_destinations()} == {"lrs", "archive"}


EMITTING = """
@hookimpl
def emit_statement(statements, destination):
    if destination.name == __name__:
        return [Receipt(statement_id=one["id"], outcome="delivered") for one in statements]
"""


def test_hook_emit_statement(load: Load) -> None:
    manager = load(lrs=EMITTING)
    receipts = manager.emit_statement("lrs", [{"id": "s1"}], LRS)
    assert receipts
    assert [(one.statement_id, one.outcome) for one in receipts] == [("s1", "delivered")]
    assert manager.emit_statement("lrs", [], Destination(name="other", url="http://lrs.example")) is None


def test_hook_job_started(load: Load, job: Job) -> None:
    load(one="seen = []\n@hookimpl\ndef job_started(job):\n    seen.append(job.id)").job_started(job)
    assert loaded("one").seen == ["j1"]


def test_hook_job_published(load: Load, job: Job, manifest: Manifest) -> None:
    code = "seen = []\n@hookimpl\ndef job_published(job, manifest):\n    seen.append((job.id, manifest.state))"
    load(one=code).job_published(job, manifest)
    assert loaded("one").seen == [("j1", "waiting")]


def test_hook_job_failed(load: Load, job: Job) -> None:
    code = "seen = []\n@hookimpl\ndef job_failed(job, result):\n    seen.append((job.id, result.reason))"
    result = StepResult(
        job="j1",
        step="finish",
        run=1,
        attempt=1,
        state=State.FAILED,
        reason="encode: no pictures",
        host="h",
        started_at=now(),
        finished_at=now(),
    )
    load(one=code).job_failed(job, result)
    assert loaded("one").seen == [("j1", "encode: no pictures")]


OWN_SETTINGS = """
from pydantic import BaseModel, Field, SecretStr

class Own(BaseModel):
    height: int = Field(default=180, ge=16)
    key: SecretStr | None = None
    places: tuple[str, ...] = ()

@hookimpl
def register_settings():
    return Own

@hookimpl
def configure(settings):
    global own
    own = settings.of_plugin("one", Own)
"""


def test_hook_register_settings(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPHIPOD_ONE_KEY", "12345")  # looks like a number, beside a list that is JSON
    monkeypatch.setenv("AMPHIPOD_ONE_PLACES", '["a", "b"]')
    manager = load({"plugin": {"one": {"height": 240, "key": "not this"}}}, one=OWN_SETTINGS)
    own = manager.own_settings["one"]
    assert own.model_dump(exclude={"key"}) == {"height": 240, "places": ("a", "b")}
    assert loaded("one").own == own
    assert own.model_dump()["key"].get_secret_value() == "12345"
    assert "12345" not in repr(own)


def test_a_child_is_told_the_secrets_of_the_plugins_that_work_in_it(load: Load) -> None:
    manager = load({"plugin": {"one": {"key": "s3cret"}, "two": {"undeclared": "0ther"}}}, one=OWN_SETTINGS)
    assert manager.settings_for_child({"one"}).plugin["one"]["key"] == "s3cret"
    others = manager.settings_for_child({"encode"}).model_dump_json()
    assert "s3cret" not in others
    assert "0ther" not in others


def test_a_setting_that_a_plugin_doesn_t_have_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"lrs_uri in \[plugin.xapi\] is no setting, did you mean lrs_url\?"):
        Settings(plugin={"xapi": {"lrs_uri": "http://lrs"}}).of_plugin("xapi", XapiSettings)


def test_a_variable_of_another_s_is_read_where_ours_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAPI_LRS_URL", "http://pod")
    assert Settings().of_plugin("xapi", XapiSettings).lrs_url == "http://pod"
    assert (
        Settings(plugin={"xapi": {"lrs_url": "http://file"}}).of_plugin("xapi", XapiSettings).lrs_url == "http://file"
    )
    monkeypatch.setenv("AMPHIPOD_XAPI_LRS_URL", "http://ours")
    assert (
        Settings(plugin={"xapi": {"lrs_url": "http://file"}}).of_plugin("xapi", XapiSettings).lrs_url == "http://ours"
    )


@pytest.mark.parametrize(
    ("table", "variables", "words"),
    [
        ({"height": 3}, {}, "height in [plugin.one] must be 16 or more"),
        ({}, {"AMPHIPOD_ONE_HEIGHT": "tall"}, "AMPHIPOD_ONE_HEIGHT must be a whole number"),
    ],
)
def test_a_plugin_whose_own_settings_are_wrong_is_left_out_with_words(
    load: Load, monkeypatch: pytest.MonkeyPatch, table: dict[str, object], variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    info = next(one for one in load({"plugin": {"one": table}}, one=OWN_SETTINGS).infos if one.name == "one")
    assert (info.state, info.is_broken) == ("failed", True)
    assert words in info.reason


CALLBACKS = """
@hookimpl
def register_callbacks():
    return {"our-portal": tell, "webhook": tell}

def tell(case):
    raise {}["missing"]
"""


def test_hook_register_callbacks(load: Load) -> None:
    manager = load(one=CALLBACKS)
    assert set(manager.callbacks()) == {"our-portal", "webhook"}
    with pytest.raises(HookFailed, match="plugin one failed in callback our-portal: KeyError: 'missing'"):
        manager.callbacks()["our-portal"](None)
    assert callback_kinds.contracts(manager)["webhook"] is webhook.tell


def test_hook_register_routes(load: Load) -> None:
    app = APIRouter()
    load(one="@hookimpl\ndef register_routes(app):\n    app.get('/hello')(lambda: 'hello')").register_routes(app)
    assert [getattr(route, "path", "") for route in app.routes] == ["/hello"]


def test_hook_register_commands(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    cli = typer.Typer()
    cli.command("hooks")(plugins.hooks)
    load(
        one="@hookimpl\ndef register_commands(cli):\n    cli.command('greet')(lambda: print('hello'))"
    ).register_commands(cli)
    cli(["greet"], standalone_mode=False)
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize("hook", [name for name, _ in specifications()])
def test_each_hook_has_a_test(hook: str) -> None:
    assert f"test_hook_{hook}" in globals()


def test_the_trace_of_a_failed_hook_begins_in_the_plugin(load: Load, job: Job, context: Context) -> None:
    code = "@hookimpl\ndef encode():\n    return deeper()\n\ndef deeper():\n    return {}['missing']"
    with pytest.raises(HookFailed) as caught:
        load(bad=code).encode("bad", job, job.source, {}, context)
    frames = [line.split()[-1] for line in caught.value.trace.splitlines() if line.startswith("  File")]
    assert frames == ["encode", "deeper"]


WRONG_ANSWERS = {
    "encode": ("{}", "a dict: a StepOutput is due, or None"),
    "step_options": ("['x']", "a list of str: a mapping of options by name is due, or None"),
    "options_schema": ("dict", "the class dict: a class of pydantic's BaseModel is due, or None"),
    "file_names": ("'*.mp4'", "a str: a list of patterns is due, or None"),
    "write_captions": ("[1, 2]", "a list of int: a list of Artifact or a StepOutput is due, or None"),
    "build_statements": ("{'verb': 'x'}", "a dict: a list of statements, mappings as JSON has them is due, or None"),
    "statement_destinations": ("('lrs',)", "a tuple of str: a list of Destination is due, or None"),
    "check_statement": ("False", "a bool: a str is due, or None"),
    "prepare_statement": ("True", "a bool: a Mapping is due, or None"),
    "emit_statement": ("True", "a bool: a list of Receipt is due, or None"),
    "examine_host": ("'fine'", "a str: a list of Finding is due, or None"),
}


@pytest.mark.parametrize("hook", WRONG_ANSWERS)
def test_a_wrong_answer_is_told_by_plugin_hook_and_what_was_due(
    load: Load, job: Job, manifest: Manifest, context: Context, hook: str
) -> None:
    answer, words = WRONG_ANSWERS[hook]
    manager = load(bad=f"@hookimpl\ndef {hook}():\n    return {answer}")
    plan = Plan(engines=(manager.describe("bad"),), options={}, origins={})
    there = Destination(name="lrs", url="https://lrs.univ.fr/xAPI/statements")
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: manager.encode("bad", job, job.source, {}, context),
        "step_options": lambda: manager.step_options(job, "encode"),
        "options_schema": lambda: manager.options_schema("encode", "bad"),
        "file_names": lambda: manager.file_names(job, "encode", plan),
        "write_captions": lambda: manager.write_captions(job, Transcript(language="en", segments=()), {}, context),
        "build_statements": lambda: manager.build_statements(job, manifest),
        "statement_destinations": manager.statement_destinations,
        "check_statement": lambda: manager.check_statement({}),
        "prepare_statement": lambda: manager.prepare_statement({}, there, None),
        "emit_statement": lambda: manager.emit_statement("bad", [{}], there),
        "examine_host": manager.examine_host,
    }

    with pytest.raises(HookFailed) as caught:
        calls[hook]()

    assert str(caught.value) == f"plugin bad answered {hook} with {words}"


def test_what_a_plugin_prints_is_no_part_of_an_answer(load: Load, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    manager = load(loud="print('imported')\n@hookimpl\ndef step_options():\n    print('asked')\n    return {}")
    manager.step_options(job, "encode")

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "imported\nasked\n")
