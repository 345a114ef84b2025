"""Nothing that a daemon offers is missing in Python, or the reason stands here."""

import inspect
import re
from pathlib import Path

import tacitly as tt
from tacitly import _core
from tacitly.job import events_of

CONTRACT = Path(__file__).parents[2] / "src/rpc/proto/control.proto"

WRAPPERS = {
    "Status": tt.Party.status,
    "Shutdown": tt.Party.shutdown,
    "RotateIdentity": tt.Party.rotate_identity,
    "RevokeIdentity": tt.Party.revoke_identity,
    "Backup": tt.Party.backup,
    "Invite": tt.Party.invite,
    "Join": tt.Party.join,
    "ListPeers": tt.Party.peers,
    "SetPeerAddress": tt.Party.set_address,
    "RemovePeer": tt.Party.remove_peer,
    "InitConsortium": tt.Party.init_consortium,
    "JoinConsortium": tt.Party.join_consortium,
    "ListConsortia": tt.Party.consortia,
    "LeaveConsortium": tt.Party.leave_consortium,
    "AddDataset": tt.Party.add_dataset,
    "ListDatasets": tt.Party.datasets,
    "RemoveDataset": tt.Party.remove_dataset,
    "AddFrame": tt.Session._hand_over,
    "SetRule": tt.Party.allow,
    "SubmitJob": tt.Party.submit,
    "MeetJob": tt.Session._begin,
    "ListJobs": tt.Party.jobs,
    "GetJob": tt.Party.job,
    "WatchJob": tt.Job.wait,
    "ExplainJob": tt.Job.explain,
    "ApproveJob": tt.Job.approve,
    "RefuseJob": tt.Job.refuse,
    "CancelJob": tt.Job.cancel,
    "ResumeJob": tt.Job.resume,
    "PurgeJob": tt.Job.purge,
    "AskJob": tt.Job.ask,
    "PauseJob": tt.Job.pause,
    "UnpauseJob": tt.Job.unpause,
    "RevokeJob": tt.Job.revoke,
    "JobResult": tt.Rows.write,
    "JobRows": tt.Rows.indices.fget,
    "ListEvents": events_of,
    "Evidence": tt.Job.evidence,
    "Reconcile": tt.Party.reconcile,
    "OpenRecord": tt.Party.open_record,
    "OpenBasis": tt.Party.open_basis,
    "OpenOutput": tt.Job.open_output,
}

# A call that Python does not wrap stands here with its reason.
REASONS: dict[str, str] = {}


def method_of(call: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", call).lower()


def test_every_call_of_the_control_api_has_a_wrapper_that_makes_it_or_a_reason():
    calls = re.findall(r"^\s*rpc (\w+)\(", CONTRACT.read_text(), re.MULTILINE)
    assert sorted(calls) == sorted({**WRAPPERS, **REASONS}), "a call of control.proto needs a wrapper or a reason"
    for call, wrapper in WRAPPERS.items():
        assert hasattr(_core.Client, method_of(call)), call
        assert f".{method_of(call)}(" in inspect.getsource(wrapper), call


def test_every_kind_of_job_is_a_method_of_sessions_and_simulations():
    for kind in tt.kinds.names():
        assert kind in tt.kinds.registered()
        assert callable(getattr(tt.Session, kind)) and callable(getattr(tt.Simulation, kind)), kind


def test_what_the_package_exports_is_documented():
    for name in tt.__all__:
        thing = getattr(tt, name)
        if inspect.isclass(thing):
            ours = [part for kind in thing.__mro__ if kind.__module__.startswith("tacitly") for part in vars(kind).values()]
            methods = [part for part in ours if inspect.isfunction(part) or isinstance(part, property)]
            public = [part for part in methods if not (getattr(part, "__name__", None) or part.fget.__name__).startswith("_")]
            assert thing.__doc__ and all(part.__doc__ for part in public), name
        elif callable(thing) and not inspect.isbuiltin(thing):
            assert thing.__doc__, name
