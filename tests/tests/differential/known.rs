//! Differences that stay, each with its reason. One that is no longer there fails its script, so that the list stays true.

/// A step of a script that is allowed to differ.
struct Known {
    script: &'static str,
    step: &'static str,
    reason: &'static str,
}

const fn known(script: &'static str, step: &'static str, reason: &'static str) -> Known {
    Known { script, step, reason }
}

const REFUSED_BY_NAME: &str = "a feature that is not built is refused by name, before its value is looked at";
const NO_SYSTEM_NAMESPACE: &str = "the other namespace is the real server's own; Meridian has none of that name";
const ANY_IDENTITY: &str =
    "the real server lets identities of any length pass here, and in no other answer of a worker";
const GO_TEXT: &str = "the real server prints a message the way Go does, whose spaces change from build to build";
const ORDERED: &str =
    "the real server orders only with some of its stores; Meridian with all, and has nothing to refuse";

const KNOWN: &[Known] = &[
    known(
        "bad answers to activity tasks",
        "RespondActivityTaskCompleted: other namespace than the token's",
        NO_SYSTEM_NAMESPACE,
    ),
    known(
        "bad answers to activity tasks",
        "RespondActivityTaskFailed: other namespace than the token's",
        NO_SYSTEM_NAMESPACE,
    ),
    known(
        "bad answers to activity tasks",
        "RespondActivityTaskCanceled: other namespace than the token's",
        NO_SYSTEM_NAMESPACE,
    ),
    known(
        "bad answers to activity tasks",
        "RecordActivityTaskHeartbeat: other namespace than the token's",
        NO_SYSTEM_NAMESPACE,
    ),
    known(
        "bad answers to workflow tasks",
        "RespondWorkflowTaskFailed: other namespace than the token's",
        NO_SYSTEM_NAMESPACE,
    ),
    known(
        "bad answers to workflow tasks",
        "RespondWorkflowTaskCompleted: other namespace than the token's",
        NO_SYSTEM_NAMESPACE,
    ),
    known("bad answers to activity tasks", "RecordActivityTaskHeartbeat: long identity", ANY_IDENTITY),
    known("bad answers by id", "RecordActivityTaskHeartbeatById: long identity", ANY_IDENTITY),
    known("bad starts", "StartWorkflowExecution: bad cron", REFUSED_BY_NAME),
    known("bad starts", "StartWorkflowExecution: unknown search attribute", REFUSED_BY_NAME),
    known("bad starts", "StartWorkflowExecution: system search attribute", REFUSED_BY_NAME),
    known("bad signals with start", "SignalWithStartWorkflowExecution: bad cron", REFUSED_BY_NAME),
    known("bad signals with start", "SignalWithStartWorkflowExecution: unknown search attribute", REFUSED_BY_NAME),
    known("bad signals with start", "SignalWithStartWorkflowExecution: system search attribute", REFUSED_BY_NAME),
    known(
        "bad signals with start",
        "describe refused",
        "the real server points at the signal, event 2, where it means the start",
    ),
    known("large commands", "history of large result", "the real server gives the cause that fits another command"),
    known("bad closing commands", "history of continue with a negative timeout", GO_TEXT),
    known("bad closing commands", "history of continue with a long queue", GO_TEXT),
    known(
        "timeout retried",
        "describe slow",
        "Meridian also says when an attempt was over that timed out; the real server only if its worker ended it",
    ),
    known(
        "run timeout",
        "describe short",
        "the real server describes a closed run with a workflow task that nobody will ever get",
    ),
    known(
        "bad remote clusters",
        "no address",
        "no address is a mistake, not a peer that may come back, so nobody is asked to try again",
    ),
    known(
        "bad filters",
        "bad token",
        "the real server hides its own failure to read the token; Meridian says what is wrong",
    ),
    known(
        "reset to the first task",
        "describe the base",
        "the real server describes a run that a reset ended with what was pending then",
    ),
    known(
        "reset behind a failure",
        "history of failing",
        "the real server forgets, when it makes the run anew, that the task to be repeated was a second attempt",
    ),
    known("same reset twice", "again", "a repetition gets the run that was made; the real server makes another one"),
    known("order by", "StartTime", ORDERED),
    known("order by", "StartTime DESC", ORDERED),
    known("order by", "CloseTime ASC", ORDERED),
    known("order by", "WorkflowId", ORDERED),
    known(
        "search attributes",
        "GetSearchAttributes",
        "columns for search attributes of users, which are refused by name",
    ),
    known("bad namespaces", "bad state", "capabilities and limits are those of each server, announced truthfully"),
];

/// Why a step may differ, if it may.
pub(crate) fn reason(script: &str, step: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.script == script && known.step == step).map(|known| known.reason)
}
