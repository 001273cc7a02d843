//! Answers, as the bytes that go out.
//!
//! Histories rest as they were first written and go out as those bytes. A page is the concatenation of its batches,
//! because that is what the wire format says a repeated field is; no event is decoded on the way.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};
use proto::temporal::api::{
    history::v1::{History, HistoryEvent},
    workflowservice::v1::{GetWorkflowExecutionHistoryResponse, PollWorkflowTaskQueueResponse},
};

/// What a handler answers.
pub(crate) trait Answer {
    /// The encoded message.
    fn into_bytes(self) -> Bytes;
}

impl<M: Message> Answer for M {
    fn into_bytes(self) -> Bytes {
        self.encode_to_vec().into()
    }
}

/// A stretch of history: encoded `temporal.api.history.v1.History` messages that follow each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RawHistory(pub Vec<Bytes>);

impl RawHistory {
    /// Add events that no batch holds.
    pub(crate) fn extend(&mut self, events: &[HistoryEvent]) {
        if !events.is_empty() {
            self.0.push(History { events: events.to_vec() }.encode_to_vec().into());
        }
    }

    fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn encode(&self, field: u32, buffer: &mut BytesMut) {
        encode_key(field, WireType::LengthDelimited, buffer);
        encode_varint(self.len() as u64, buffer);
        for batch in &self.0 {
            buffer.put_slice(batch);
        }
    }

    fn encoded_len(&self, field: u32) -> usize {
        let len = self.len();
        key_len(field) + encoded_len_varint(len as u64) + len
    }
}

/// A workflow task for a worker, with its history beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkflowTask {
    /// All but the history.
    pub response: PollWorkflowTaskQueueResponse,
    /// The history; none is sent when there is none, as to a worker that answers a query from its cache.
    pub history: Option<RawHistory>,
}

impl Answer for WorkflowTask {
    fn into_bytes(self) -> Bytes {
        let history = self.history.as_ref();
        let len = self.response.encoded_len() + history.map_or(0, |history| history.encoded_len(WORKFLOW_TASK_HISTORY));
        let mut buffer = BytesMut::with_capacity(len);
        self.response.encode(&mut buffer).expect("a buffer grows");
        if let Some(history) = history {
            history.encode(WORKFLOW_TASK_HISTORY, &mut buffer);
        }
        buffer.freeze()
    }
}

/// A page of history for a reader.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HistoryPage {
    /// The events.
    pub history: RawHistory,
    /// Where to go on; empty at the end.
    pub next_page_token: Bytes,
}

impl Answer for HistoryPage {
    fn into_bytes(self) -> Bytes {
        let rest = GetWorkflowExecutionHistoryResponse { next_page_token: self.next_page_token, ..Default::default() };
        let len = self.history.encoded_len(PAGE_HISTORY) + rest.encoded_len();
        let mut buffer = BytesMut::with_capacity(len);
        self.history.encode(PAGE_HISTORY, &mut buffer);
        rest.encode(&mut buffer).expect("a buffer grows");
        buffer.freeze()
    }
}

/// The answer to a completed workflow task, with the next one if the worker goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorkflowTaskCompleted {
    /// The next task.
    pub next: Option<WorkflowTask>,
}

impl Answer for WorkflowTaskCompleted {
    fn into_bytes(self) -> Bytes {
        let mut buffer = BytesMut::new();
        if let Some(next) = self.next {
            let next = next.into_bytes();
            encode_key(COMPLETED_WORKFLOW_TASK, WireType::LengthDelimited, &mut buffer);
            encode_varint(next.len() as u64, &mut buffer);
            buffer.put(next);
        }
        buffer.freeze()
    }
}

/// `PollWorkflowTaskQueueResponse.history`.
const WORKFLOW_TASK_HISTORY: u32 = 8;

/// `GetWorkflowExecutionHistoryResponse.history`.
const PAGE_HISTORY: u32 = 1;

/// `RespondWorkflowTaskCompletedResponse.workflow_task`.
const COMPLETED_WORKFLOW_TASK: u32 = 1;

#[cfg(test)]
mod tests {
    use proto::temporal::api::workflowservice::v1::RespondWorkflowTaskCompletedResponse;

    use super::*;

    #[test]
    fn spliced_answers_decode_as_the_messages_they_stand_for() {
        let response = PollWorkflowTaskQueueResponse {
            task_token: Bytes::from_static(b"token"),
            started_event_id: 3,
            poller_group_id: "g".into(),
            ..Default::default()
        };
        let mut expected = PollWorkflowTaskQueueResponse { history: Some(history(1..=4)), ..response.clone() };
        let task = WorkflowTask { response: response.clone(), history: Some(raw()) };
        assert_eq!(PollWorkflowTaskQueueResponse::decode(task.clone().into_bytes()), Ok(expected.clone()));

        let completed = WorkflowTaskCompleted { next: Some(task) }.into_bytes();
        let completed = RespondWorkflowTaskCompletedResponse::decode(completed).unwrap();
        assert_eq!(completed.workflow_task, Some(expected.clone()));

        expected.history = None;
        let query = WorkflowTask { response, history: None };
        assert_eq!(PollWorkflowTaskQueueResponse::decode(query.into_bytes()), Ok(expected));

        let nothing = WorkflowTaskCompleted::default().into_bytes();
        assert_eq!(RespondWorkflowTaskCompletedResponse::decode(nothing).unwrap().workflow_task, None);
    }

    #[test]
    fn an_empty_page_has_an_empty_history() {
        let page = HistoryPage { history: raw(), next_page_token: Bytes::from_static(b"next") };
        let page = GetWorkflowExecutionHistoryResponse::decode(page.into_bytes()).unwrap();
        assert_eq!((page.history, page.next_page_token), (Some(history(1..=4)), Bytes::from_static(b"next")));
        let empty = GetWorkflowExecutionHistoryResponse::decode(HistoryPage::default().into_bytes()).unwrap();
        assert_eq!((empty.history, empty.next_page_token), (Some(History::default()), Bytes::new()));
    }

    fn raw() -> RawHistory {
        let mut raw = RawHistory(vec![history(1..=2).encode_to_vec().into(), history(3..=3).encode_to_vec().into()]);
        raw.extend(&history(4..=4).events);
        raw.extend(&[]);
        raw
    }

    fn history(ids: std::ops::RangeInclusive<i64>) -> History {
        History { events: ids.map(|event_id| HistoryEvent { event_id, ..Default::default() }).collect() }
    }
}
