"""What a user sees of the package: names, modules, version, what an import costs, base classes that
mix, and a README whose every example runs."""

import abc
import copy
import importlib
import importlib.metadata
import pickle
import re
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

import actors
import futures_actors
import observe
from futures_actors import ProcessActor, ThreadActor
from gates import PATIENCE

ROOT = Path(__file__).parents[2]
NAMES = {
    "futures_actors": """Actor ActorDeadlock ActorDied ActorExecutor ActorInitError BrokenActor
        MailboxFull ProcessActor ProcessActorExecutor RemoteError ThreadActor ThreadActorExecutor
        __version__""",
    "futures_actors._base_actor": "Actor ActorExecutor",
    "futures_actors.thread_actor": "ThreadActor ThreadActorExecutor",
    "futures_actors.process_actor": "BrokenProcessPool ProcessActor ProcessActorExecutor",
}


@pytest.mark.parametrize("module", NAMES)
def test_each_name_is_in_the_module_it_belongs_to(module):
    found = importlib.import_module(module)
    for name in NAMES[module].split():
        assert hasattr(found, name), name
        if name != "BrokenProcessPool":
            assert getattr(found, name) is getattr(futures_actors, name)


def test_all_lists_every_public_name_and_no_other():
    public = set(NAMES["futures_actors"].split()) - {"__version__"}
    assert public <= set(futures_actors.__all__)
    assert len(set(futures_actors.__all__)) == len(futures_actors.__all__)
    for name in futures_actors.__all__:
        assert getattr(futures_actors, name) is not None
    assert set(futures_actors.__all__) <= set(dir(futures_actors))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        futures_actors.no_such_name  # noqa: B018


def test_without_ray_its_module_says_what_to_install(script):
    source = """
import sys
sys.modules["ray"] = None
try:
    import futures_actors.ray
except ImportError as error:
    print(error)
"""
    assert "pip install 'ray>=2.60,<3'" in script(source).check().out


@pytest.mark.parametrize("function", ["current_actor", "current_message"])
def test_a_wrong_call_of_a_function_names_the_public_one(function):
    called = getattr(futures_actors, function)
    with pytest.raises(TypeError, match=rf"^futures_actors\.{function}\(\) takes no arguments"):
        called(1)
    assert pickle.loads(pickle.dumps(called)) is called


def test_version_is_cargos():
    cargo = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.+?)"', cargo, re.MULTILINE)[1]
    assert futures_actors.__version__ == re.sub(r"-dev\.?(\d+)", r".dev\1", version)
    assert futures_actors.__version__ == importlib.metadata.version("futures_actors")


def test_the_package_is_typed():
    folder = Path(futures_actors.__file__).parent
    assert (folder / "py.typed").exists()
    assert (folder / "_core.pyi").exists()


def test_executors_are_of_the_named_classes(kind):
    module = importlib.import_module(f"futures_actors.{kind.base.lower()}_actor")
    expected = getattr(module, f"{kind.base}ActorExecutor")
    with kind.start(actors.Echo) as executor:
        assert type(executor) is expected
        assert isinstance(executor, futures_actors.ActorExecutor)
        assert isinstance(executor, kind.actor(actors.Echo).executor().__class__)


def test_actor_classes_are_related():
    assert issubclass(ThreadActor, futures_actors.Actor)
    assert issubclass(ProcessActor, futures_actors.Actor)


def test_the_base_actor_refuses_to_start():
    class Plain(futures_actors.Actor):
        pass

    for cls in (futures_actors.Actor, Plain):
        with pytest.raises(NotImplementedError) as caught:
            cls.executor()
        assert str(caught.value) == "use ProcessActor or ThreadActor"


def test_the_base_executor_refuses_to_post():
    with pytest.raises(NotImplementedError) as caught:
        futures_actors.ActorExecutor().post("message")
    assert str(caught.value) == "use ProcessActorExecutor or ThreadActorExecutor"


def test_the_base_executor_has_every_method_of_executors_and_refuses_to_work():
    base = futures_actors.ActorExecutor()
    for name in dir(futures_actors._core.ExecutorCore):
        if name.startswith("_"):
            continue
        method = getattr(base, name)
        if name == "shutdown":  # as that of `concurrent.futures.Executor`
            assert method() is None
            continue
        arguments = (len,) if name in ("post", "tell", "stream", "submit") else ()
        with pytest.raises(NotImplementedError, match="use ProcessActorExecutor or Thread"):
            method(*arguments)


def test_the_base_handler_refuses_to_handle():
    for cls in (futures_actors.Actor, ThreadActor, ProcessActor):
        with pytest.raises(NotImplementedError) as caught:
            cls().handle("message")
        assert str(caught.value) == "must implement message handler"


# The class of futures has the name of the standard one: see `test_future.py`.
@pytest.mark.parametrize(
    "name", sorted(set(futures_actors.__all__) - {"__version__", "ActorFuture"})
)
def test_each_public_class_is_documented_and_says_where_it_lives(name):
    cls = getattr(futures_actors, name)
    assert cls.__name__ == name
    if isinstance(cls, type):
        assert "._" not in cls.__module__
        assert getattr(importlib.import_module(cls.__module__), name) is cls
    assert cls.__doc__


@pytest.mark.parametrize("name", ["post", "tell", "submit"])
def test_an_error_of_a_call_names_the_public_class(thread, name):
    with thread.start(actors.Echo) as executor:
        with pytest.raises(TypeError, match=rf"^ActorRef\.{name}\(\) missing 1 required"):
            getattr(executor, name)()
        with pytest.raises(TypeError, match=r"^ActorExecutor\.shutdown\(\) got an unexpected"):
            executor.shutdown(no=1)
        with pytest.raises(TypeError, match=r"^Future\.result\(\) takes from 0 to 1 positional"):
            executor.post(1).result(1, 2)


def test_an_exception_is_shown_by_its_public_name(process):
    with process.start(actors.Fails, ValueError("broken")) as executor:
        error = observe.init_error(executor)
    lines = traceback.format_exception(error)
    assert any(line.startswith("futures_actors.ActorInitError: ") for line in lines)
    assert repr(error).startswith("ActorInitError(")
    assert not any("futures_actors._" in line for line in lines if not line.startswith("  "))


def test_executor_and_handle_are_documented():
    for method in (ThreadActor.executor, ProcessActor.executor, ThreadActor.handle):
        assert method.__doc__
    for method in ("post", "submit", "shutdown"):
        assert getattr(futures_actors.ActorExecutor, method).__doc__


# What an import costs.

HEAVY = ["numpy", "asyncio", "multiprocessing", "cloudpickle"]
UNWANTED_IN_A_CHILD = [*HEAVY, "concurrent.futures", "logging"]


def test_importing_the_package_imports_nothing_heavy(script):
    source = f"""if True:
        import sys, futures_actors
        print([name for name in {HEAVY} if name in sys.modules])
    """
    assert script(source).check().out == "[]\n"


def test_importing_the_package_costs_little_more_than_concurrent_futures(script):
    """It loads the core and nothing else: the rest follows when it is needed."""
    source = """if True:
        import concurrent.futures, sys
        before = set(sys.modules)
        import futures_actors
        print(*sorted(set(sys.modules) - before))
    """
    assert script(source).check().out.split() == ["futures_actors", "futures_actors._core"]


def test_naming_the_base_classes_imports_nothing_that_a_child_does_without(script):
    source = f"""if True:
        import sys
        from futures_actors import Actor, ProcessActor, ThreadActor
        print([name for name in {UNWANTED_IN_A_CHILD} if name in sys.modules])
    """
    assert script(source).check().out == "[]\n"


def test_a_child_imports_only_what_its_code_asks_for(script):
    """In a program of its own: its fork server has not started anything that needs more."""
    source = f"""if True:
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            asked = executor.post((tasks.loaded, *{UNWANTED_IN_A_CHILD}))
            assert asked.result(30) == []
            executor.post((tasks.fail, ValueError("no"))).exception(30)
            asked = executor.post((tasks.loaded, *{UNWANTED_IN_A_CHILD}))
            assert asked.result(30) == [], "after a message that failed"
    """
    script(source).check()


def test_a_thread_actor_needs_no_pickler(script):
    source = """if True:
        import actors, sys, tasks
        with actors.ThreadDo.executor() as executor:
            print(executor.post((tasks.loaded, "cloudpickle", "asyncio", "numpy")).result(30))
    """
    assert script(source).check().out == "[]\n"


# Base classes mix.


class Store(dict, ThreadActor):
    def handle(self, message):
        self.update(message)
        return dict(self)


class FarStore(dict, ProcessActor):
    handle = Store.handle


class Abstract(ThreadActor, abc.ABC):
    @abc.abstractmethod
    def convert(self, message): ...

    def handle(self, message):
        return self.convert(message)


class Concrete(Abstract):
    def convert(self, message):
        return message * 2


@dataclass(slots=True)
class Slotted(ThreadActor):
    x: int
    y: int = 2

    def handle(self, message):
        return self


@dataclass(slots=True)
class FarSlotted(ProcessActor):
    x: int
    y: int = 2

    def handle(self, message):
        return self


class MadeByNew(ProcessActor):
    def __new__(cls, value):
        self = super().__new__(cls)
        self.value = value
        return self

    def __getnewargs__(self):
        return (self.value,)

    def handle(self, message):
        return self.value


class Mixin:
    """A class of the user's that comes before the actor."""


class MadeByNewBehindAMixin(Mixin, ThreadActor):
    def __new__(cls, value):
        self = super().__new__(cls)
        self.value = value
        return self

    handle = MadeByNew.handle


class Typed(ThreadActor[int, str]):
    def handle(self, message):
        return str(message)


@pytest.mark.parametrize("cls", [Store, FarStore])
def test_an_actor_can_be_a_dict(cls):
    with cls.executor(a=1) as executor:
        assert executor.post({"b": 2}).result(PATIENCE) == {"a": 1, "b": 2}


def test_an_actor_can_have_abstract_methods():
    with Concrete.executor() as executor:
        assert executor.post(2).result(PATIENCE) == 4
    with pytest.raises(TypeError, match="abstract"):
        Abstract()
    with Abstract.executor() as executor:
        try:
            error = executor.post(1).exception(PATIENCE)
        except futures_actors.ActorInitError as raised:
            error = raised
    assert isinstance(error.__cause__, TypeError)


@pytest.mark.parametrize("cls", [Slotted, FarSlotted])
def test_an_actor_can_be_a_slotted_dataclass(cls):
    with cls.executor(1) as executor:
        answer = executor.post(None).result(PATIENCE)
        assert answer == cls(1, 2)
        assert not hasattr(answer, "__dict__")


@pytest.mark.parametrize("cls", [MadeByNew, MadeByNewBehindAMixin])
def test_an_actor_can_be_made_by_new(cls):
    with cls.executor(7) as executor:
        assert executor.post(None).result(PATIENCE) == 7


def test_actor_types_take_parameters():
    with Typed.executor() as executor:
        assert executor.post(7).result(PATIENCE) == "7"


@pytest.fixture(
    params=[
        actors.ThreadCounter(3, step=2),
        actors.ProcessCounter(3, step=2),
        Store(a=1),
        Slotted(1),
        FarSlotted(1),
    ],
    ids=lambda actor: type(actor).__name__,
)
def actor(request):
    return request.param


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_actors_pickle(actor, protocol):
    made = pickle.loads(pickle.dumps(actor, protocol))
    assert type(made) is type(actor)
    assert state(made) == state(actor)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_actors_can_be_copied(actor, how):
    made = how(actor)
    assert type(made) is type(actor)
    assert state(made) == state(actor)


def state(actor):
    items = dict(actor) if isinstance(actor, dict) else None
    return actor.__reduce_ex__(2)[2], items


def test_an_actor_is_a_plain_object_too():
    actor = actors.ThreadCounter(3)
    assert actor.handle(1) == 4
    assert vars(actor) == {"total": 4, "step": 1}
    with pytest.raises(TypeError):
        actors.ThreadEcho(1)


# The README.


def readme_examples():
    text = (ROOT / "README.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_readme_has_examples():
    assert readme_examples()


@pytest.mark.parametrize("example", readme_examples(), ids=lambda text: text.splitlines()[0])
def test_each_example_of_the_readme_prints_what_its_comments_say(script, example):
    ended = script(example)
    assert ended.status == 0, ended
    printed = re.findall(r"^ *print\(.*\)  # (.+)$", example, re.MULTILINE)
    assert printed
    assert ended.out.splitlines() == printed


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
