//! The methods that are built, and what is known of each before its request is decoded.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::errors::Error;

/// A method of the service.
#[derive(Debug)]
pub(crate) struct Rpc {
    /// Its name.
    pub name: &'static str,
    /// In which cluster it belongs.
    pub place: Place,
    /// To which namespace.
    pub scope: Scope,
    /// On which host of the cluster it is answered.
    pub home: Home,
}

impl Rpc {
    /// Whether a worker waits for work with it.
    pub(crate) fn is_poll(&self) -> bool {
        self.name.starts_with("Poll")
    }
}

/// In which cluster a call belongs whose namespace is active in another one (FW-3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// In the one it came to (FW-5).
    Here,
    /// In the active one, if everything is forwarded (FW-6).
    Active,
    /// In the active one, unless nothing is forwarded (FW-4).
    ActiveFirst,
    /// Wherever there is work: in this one and in the active one at a time. The handler sees to it.
    Wherever,
}

/// How a request names its namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// Not at all.
    Cluster,
    /// In this field; the namespace may be deprecated.
    Field(u32),
    /// In this field; a deprecated namespace will not do, because something new begins.
    Begins(u32),
    /// In the token, and once more in this field, which may be empty.
    Token(u32),
}

/// Which host of a cluster answers a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Home {
    /// Any: it takes no shard and no task queue.
    Any,
    /// The one that has the shard of the workflow whose id is in this field, or in this field of that field.
    Workflow(&'static [u32]),
    /// The one that has the shard of the workflow of the task token.
    Task,
    /// The one that has the task queue in this field.
    Queue(u32),
    /// The one that put the question of the query token.
    Question,
}

/// Every method that is built. Any other answers UNIMPLEMENTED with its name, which clients understand (api B 62).
pub(crate) static RPCS: [Rpc; 41] = {
    use Home::{Any, Question, Queue, Task, Workflow};
    use Place::{Active, ActiveFirst, Here, Wherever};
    use Scope::{Begins, Cluster, Field, Token};
    const fn rpc(name: &'static str, place: Place, scope: Scope, home: Home) -> Rpc {
        Rpc { name, place, scope, home }
    }
    const ID: Home = Workflow(&[2]);
    const EXECUTION: Home = Workflow(&[2, 1]);
    [
        rpc("GetSystemInfo", Here, Cluster, Any),
        rpc("GetClusterInfo", Here, Cluster, Any),
        rpc("GetSearchAttributes", Here, Cluster, Any),
        rpc("RegisterNamespace", Here, Cluster, Any),
        rpc("DescribeNamespace", Here, Cluster, Any),
        rpc("ListNamespaces", Here, Cluster, Any),
        rpc("UpdateNamespace", Here, Cluster, Any),
        rpc("DeprecateNamespace", Here, Cluster, Any),
        rpc("StartWorkflowExecution", ActiveFirst, Begins(1), ID),
        rpc("SignalWithStartWorkflowExecution", ActiveFirst, Begins(1), ID),
        rpc("SignalWorkflowExecution", ActiveFirst, Field(1), EXECUTION),
        rpc("RequestCancelWorkflowExecution", ActiveFirst, Field(1), EXECUTION),
        rpc("TerminateWorkflowExecution", ActiveFirst, Field(1), EXECUTION),
        rpc("ResetWorkflowExecution", ActiveFirst, Field(1), EXECUTION),
        rpc("DeleteWorkflowExecution", ActiveFirst, Field(1), EXECUTION),
        rpc("QueryWorkflow", ActiveFirst, Field(1), EXECUTION),
        rpc("DescribeWorkflowExecution", Active, Field(1), EXECUTION),
        rpc("GetWorkflowExecutionHistory", Active, Field(1), EXECUTION),
        rpc("GetWorkflowExecutionHistoryReverse", Active, Field(1), EXECUTION),
        rpc("PollWorkflowTaskQueue", Wherever, Field(1), Queue(2)),
        rpc("RespondWorkflowTaskCompleted", Active, Token(9), Task),
        rpc("RespondWorkflowTaskFailed", Active, Token(6), Task),
        rpc("RespondQueryTaskCompleted", Wherever, Token(6), Question),
        rpc("PollActivityTaskQueue", Wherever, Field(1), Queue(2)),
        rpc("RespondActivityTaskCompleted", Active, Token(4), Task),
        rpc("RespondActivityTaskFailed", Active, Token(4), Task),
        rpc("RespondActivityTaskCanceled", Active, Token(4), Task),
        rpc("RecordActivityTaskHeartbeat", Active, Token(4), Task),
        rpc("RespondActivityTaskCompletedById", Active, Field(1), ID),
        rpc("RespondActivityTaskFailedById", Active, Field(1), ID),
        rpc("RespondActivityTaskCanceledById", Active, Field(1), ID),
        rpc("RecordActivityTaskHeartbeatById", Active, Field(1), ID),
        rpc("ResetStickyTaskQueue", Active, Field(1), EXECUTION),
        rpc("ShutdownWorker", Wherever, Field(1), Any),
        rpc("DescribeTaskQueue", Active, Field(1), Queue(2)),
        rpc("ListTaskQueuePartitions", Active, Field(1), Any),
        rpc("ListWorkflowExecutions", Active, Field(1), Any),
        rpc("ListOpenWorkflowExecutions", Active, Field(1), Any),
        rpc("ListClosedWorkflowExecutions", Active, Field(1), Any),
        rpc("ScanWorkflowExecutions", Active, Field(1), Any),
        rpc("CountWorkflowExecutions", Active, Field(1), Any),
    ]
};

/// The method of this name, if it is built.
pub(crate) fn find(name: &str) -> Option<&'static Rpc> {
    RPCS.iter().find(|rpc| rpc.name == name)
}

/// What an encoded request says about its namespace.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Claim {
    /// The namespace's name; empty when there is none.
    pub namespace: String,
    /// The task or query token; empty when there is none.
    pub token: Bytes,
}

impl Claim {
    /// Read the fields that matter; the others are passed over.
    pub(crate) fn read(rpc: &Rpc, request: &Bytes) -> Result<Self, Error> {
        let (field, has_token) = match rpc.scope {
            Scope::Cluster => return Ok(Self::default()),
            Scope::Field(field) | Scope::Begins(field) => (field, false),
            Scope::Token(field) => (field, true),
        };
        let mut claim = Self::default();
        let mut namespace = Bytes::new();
        // A field that comes twice counts as it comes last.
        each_field(request, |tag, value| {
            if tag == field {
                namespace = value;
            } else if has_token && tag == TOKEN {
                claim.token = value;
            }
        })?;
        claim.namespace = String::from_utf8(namespace.into()).map_err(undecodable)?;
        Ok(claim)
    }
}

/// What an encoded message has in a field that is text or bytes, empty when there is nothing. Of a field that comes more
/// than once the contents follow each other: for a message in it that is as good as one.
pub(crate) fn field(message: &Bytes, number: u32) -> Result<Bytes, Error> {
    let mut found = Vec::new();
    each_field(message, |tag, value| {
        if tag == number {
            found.push(value);
        }
    })?;
    Ok(match found.len() {
        1 => found.swap_remove(0),
        _ => found.concat().into(),
    })
}

/// The last text that an encoded message has in a field.
pub(crate) fn text(message: &Bytes, number: u32) -> Result<String, Error> {
    let mut found = Bytes::new();
    each_field(message, |tag, value| {
        if tag == number {
            found = value;
        }
    })?;
    String::from_utf8(found.into()).map_err(undecodable)
}

/// Every field of an encoded message that is text, bytes or a message.
fn each_field(message: &Bytes, mut see: impl FnMut(u32, Bytes)) -> Result<(), Error> {
    let mut rest = message.clone();
    while rest.has_remaining() {
        let (tag, wire_type) = decode_key(&mut rest).map_err(undecodable)?;
        if wire_type == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(&mut rest).map_err(undecodable)?).unwrap_or(usize::MAX);
            if rest.remaining() < len {
                return Err(undecodable("a field ends after the message"));
            }
            see(tag, rest.split_to(len));
        } else {
            skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(undecodable)?;
        }
    }
    Ok(())
}

/// A request that is no message. It is no fault of ours, but this is how gRPC says it.
pub(crate) fn undecodable(why: impl std::fmt::Display) -> Error {
    tonic::Status::internal(format!("error unmarshalling request: {why}")).into()
}

/// The field of every task token and query token.
const TOKEN: u32 = 1;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use proto::temporal::api::workflowservice::v1 as api;
    use tonic::metadata::MetadataMap;

    use super::*;
    use crate::caller::Caller;

    /// A call of this method with these headers and no request.
    pub(crate) fn caller(method: &str, headers: &[(&'static str, &str)]) -> Caller {
        let mut map = MetadataMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Caller { rpc: find(method).unwrap(), request: Bytes::new(), headers: map, deadline: None, is_inside: false }
    }

    #[test]
    fn fields_are_those_of_the_api() {
        let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        let package = "temporal.api.workflowservice.v1";
        let messages = files.file.iter().filter(|file| file.package() == package).flat_map(|file| &file.message_type);
        let messages: Vec<_> = messages.collect();
        for rpc in &RPCS {
            let request = format!("{}Request", rpc.name);
            let message = messages.iter().find(|message| message.name() == request).expect("a method of the API");
            let number = |name: &str| {
                message.field.iter().find(|field| field.name() == name).map(|field| field.number().cast_unsigned())
            };
            let token = number("task_token");
            match rpc.scope {
                Scope::Field(field) | Scope::Begins(field) => {
                    assert_eq!((number("namespace"), token), (Some(field), None), "{}", rpc.name);
                }
                Scope::Token(field) => {
                    assert_eq!((number("namespace"), token), (Some(field), Some(TOKEN)), "{}", rpc.name);
                }
                Scope::Cluster => assert_eq!(token, None, "{}", rpc.name),
            }
            let field_type = |number: u32| {
                let field = message.field.iter().find(|field| field.number().cast_unsigned() == number);
                field.map(|field| (field.name(), field.type_name())).expect("a field of the method")
            };
            match rpc.home {
                Home::Workflow([id]) => assert_eq!(field_type(*id), ("workflow_id", ""), "{}", rpc.name),
                Home::Workflow(path) => {
                    assert_eq!(field_type(path[0]).1, ".temporal.api.common.v1.WorkflowExecution", "{}", rpc.name);
                    assert_eq!(path[1..], [1], "{}", rpc.name);
                }
                Home::Queue(field) => {
                    let expected = ("task_queue", ".temporal.api.taskqueue.v1.TaskQueue");
                    assert_eq!(field_type(field), expected, "{}", rpc.name);
                }
                Home::Task | Home::Question => assert_eq!(token, Some(TOKEN), "{}", rpc.name),
                Home::Any => assert_eq!((token, number("workflow_id")), (None, None), "{}", rpc.name),
            }
        }
    }

    #[test]
    fn a_claim_is_found_among_other_fields() {
        let request = api::RespondWorkflowTaskCompletedRequest {
            task_token: Bytes::from_static(b"token"),
            identity: "me".into(),
            namespace: "orders".into(),
            return_new_workflow_task: true,
            ..Default::default()
        };
        let claim = Claim { namespace: "orders".into(), token: Bytes::from_static(b"token") };
        check("RespondWorkflowTaskCompleted", &request, claim);
        let request = api::StartWorkflowExecutionRequest {
            namespace: "orders".into(),
            workflow_id: "w".into(),
            ..Default::default()
        };
        check("StartWorkflowExecution", &request, Claim { namespace: "orders".into(), token: Bytes::new() });
        check("StartWorkflowExecution", &api::StartWorkflowExecutionRequest::default(), Claim::default());
        check("DescribeNamespace", &request, Claim::default());
    }

    #[track_caller]
    fn check(method: &str, request: &impl Message, expected: Claim) {
        let claim = Claim::read(find(method).unwrap(), &request.encode_to_vec().into());
        assert_eq!(claim.ok(), Some(expected));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let bytes = Bytes::from(bytes);
            for rpc in &RPCS {
                let _ = Claim::read(rpc, &bytes);
            }
        }
    }
}
