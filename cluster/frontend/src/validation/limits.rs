//! Lengths and sizes (api 11.6).

use config::Setting;
use prost::Message;
use proto::temporal::api::common::v1::{Link, Memo, link::Variant};

use super::{Check, refuse};
use crate::rates::Limits;

/// How long and large parts of a request may be, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sizes {
    /// Ids and names.
    pub(crate) id: usize,
    /// Payloads of one call.
    pub(crate) blob: usize,
    /// Payloads of one call that are logged.
    pub(crate) blob_warning: usize,
    /// A memo.
    pub(crate) memo: usize,
    /// A memo that is logged.
    pub(crate) memo_warning: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { id: MAX_ID, blob: MAX_BLOB, blob_warning: usize::MAX, memo: MAX_BLOB, memo_warning: usize::MAX }
    }
}

impl Sizes {
    /// What somebody says who may change it, and what is usual where nobody does.
    pub(crate) fn of(limits: &Limits, namespace: &str) -> Self {
        let usual = Self::default();
        let said = |setting, usual| limits(setting, namespace).map_or(usual, |size| size as usize);
        Self {
            id: said(Setting::IdLength, usual.id),
            blob: said(Setting::BlobSize, usual.blob),
            blob_warning: said(Setting::BlobWarning, usual.blob_warning),
            memo: said(Setting::MemoSize, usual.memo),
            memo_warning: said(Setting::MemoWarning, usual.memo_warning),
        }
    }
}

/// Longest id or name, if nobody says.
const MAX_ID: usize = 1000;

/// Largest payloads of one call, if nobody says.
const MAX_BLOB: usize = 2 * 1024 * 1024;

/// Most events or runs on a page, and how many there are when nothing is said.
const MAX_EVENTS: usize = 256;

const MAX_LINKS: usize = 10;

const MAX_LINK: usize = 4000;

/// Who calls, in the caller's words.
pub(crate) fn identity(identity: &str, sizes: Sizes) -> Check {
    if sizes.id < identity.len() { refuse("Identity length exceeds limit.") } else { Ok(()) }
}

/// The caller's name for the request.
pub(crate) fn request_id(id: &str, sizes: Sizes) -> Check {
    if sizes.id < id.len() { refuse("RequestId length exceeds limit.") } else { Ok(()) }
}

/// Payloads, or whatever holds some.
pub(crate) fn blob(message: Option<&impl Message>, sizes: Sizes) -> Check {
    let size = message.map_or(0, Message::encoded_len);
    if sizes.blob < size {
        return refuse("Blob data size exceeds limit.");
    }
    if sizes.blob_warning < size {
        tracing::warn!(size, limit = sizes.blob_warning, "Blob data size exceeds the warning limit.");
    }
    Ok(())
}

/// A caller's notes.
pub(super) fn memo(memo: Option<&Memo>, sizes: Sizes) -> Check {
    let size = memo.map_or(0, Message::encoded_len);
    if sizes.memo < size {
        return refuse("Memo size exceeds limit.");
    }
    if sizes.memo_warning < size {
        tracing::warn!(size, limit = sizes.memo_warning, "Memo size exceeds the warning limit.");
    }
    Ok(())
}

/// What the request says it belongs to.
pub(super) fn links(links: &[Link]) -> Check {
    if MAX_LINKS < links.len() {
        return refuse(format!("cannot attach more than {MAX_LINKS} links per request, got {}", links.len()));
    }
    for link in links {
        let len = link.encoded_len();
        if MAX_LINK < len {
            return refuse(format!("link exceeds allowed size of {MAX_LINK}, got {len}"));
        }
        let missing = match &link.variant {
            Some(Variant::WorkflowEvent(event)) => [
                ("workflow event", "namespace", &event.namespace),
                ("workflow event", "workflow ID", &event.workflow_id),
                ("workflow event", "run ID", &event.run_id),
            ]
            .into_iter()
            .find(|(.., value)| value.is_empty()),
            Some(Variant::BatchJob(job)) => {
                Some(("batch job", "job ID", &job.job_id)).filter(|(.., value)| value.is_empty())
            }
            Some(_) => None,
            None => return refuse("unsupported link variant"),
        };
        if let Some((link, field, _)) = missing {
            return refuse(format!("{link} link must not have an empty {field} field"));
        }
    }
    Ok(())
}

/// How many events go on a page. Any number may be asked for.
pub(crate) fn page_size(asked: i32) -> usize {
    match usize::try_from(asked) {
        Ok(size @ 1..=MAX_EVENTS) => size,
        _ => MAX_EVENTS,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use proto::temporal::api::common::v1::{Payload, Payloads, link};

    use super::{super::text, *};

    fn usual() -> Sizes {
        Sizes::default()
    }

    #[test]
    fn sizes_are_as_somebody_says() {
        let limits: Limits = Arc::new(|setting, namespace| match (setting, namespace) {
            (Setting::BlobSize, "small") => Some(5),
            (Setting::BlobWarning, "small") => Some(3),
            (Setting::IdLength, _) => Some(20),
            _ => None,
        });
        assert_eq!(Sizes::of(&limits, "other"), Sizes { id: 20, ..usual() });
        let small = Sizes::of(&limits, "small");
        assert_eq!(small, Sizes { id: 20, blob: 5, blob_warning: 3, ..usual() });
        let payloads = |len| Payloads { payloads: vec![Payload { data: vec![0; len].into(), ..Default::default() }] };
        assert_eq!(text(blob(Some(&payloads(1)), small)), None, "logged");
        assert_eq!(text(blob(Some(&payloads(2)), small)).as_deref(), Some("Blob data size exceeds limit."));
    }

    #[test]
    fn lengths_count_bytes() {
        let limit = "é".repeat(500);
        assert_eq!(text(identity(&limit, usual())), None);
        assert_eq!(text(identity(&(limit.clone() + "x"), usual())).as_deref(), Some("Identity length exceeds limit."));
        assert_eq!(text(request_id(&limit, usual())), None);
        assert_eq!(text(request_id(&(limit + "x"), usual())).as_deref(), Some("RequestId length exceeds limit."));
    }

    #[test]
    fn sizes_count_the_message() {
        let payload = |len| Payload { data: vec![0; len].into(), ..Default::default() };
        let payloads = |len| Payloads { payloads: vec![payload(len)] };
        assert_eq!(text(blob(None::<&Payloads>, usual())), None);
        assert_eq!(text(blob(Some(&payloads(MAX_BLOB - 10)), usual())), None);
        assert_eq!(text(blob(Some(&payloads(MAX_BLOB)), usual())).as_deref(), Some("Blob data size exceeds limit."));
        let notes = |len| Memo { fields: BTreeMap::from([("a".into(), payload(len))]) };
        assert_eq!(text(memo(Some(&notes(MAX_BLOB - 20)), usual())), None);
        assert_eq!(text(memo(Some(&notes(MAX_BLOB)), usual())).as_deref(), Some("Memo size exceeds limit."));
    }

    #[test]
    fn links_are_few_short_and_whole() {
        let event = |namespace: &str, workflow: &str, run: &str| Link {
            variant: Some(Variant::WorkflowEvent(link::WorkflowEvent {
                namespace: namespace.into(),
                workflow_id: workflow.into(),
                run_id: run.into(),
                reference: None,
            })),
        };
        let check = |link: Link, count, expected: Option<&str>| {
            assert_eq!(text(links(&vec![link; count])).as_deref(), expected);
        };
        check(event("n", "w", "r"), 10, None);
        check(event("n", "w", "r"), 11, Some("cannot attach more than 10 links per request, got 11"));
        check(event("n", "", ""), 1, Some("workflow event link must not have an empty workflow ID field"));
        check(event("n", "w", ""), 1, Some("workflow event link must not have an empty run ID field"));
        check(Link { variant: None }, 1, Some("unsupported link variant"));
        check(event("n", &"w".repeat(4000), "r"), 1, Some("link exceeds allowed size of 4000, got 4012"));
        let job = Variant::BatchJob(link::BatchJob::default());
        check(Link { variant: Some(job) }, 1, Some("batch job link must not have an empty job ID field"));
    }

    #[test]
    fn page_sizes() {
        for (asked, expected) in [(0, 256), (-1, 256), (1, 1), (256, 256), (257, 256), (i32::MAX, 256)] {
            assert_eq!(page_size(asked), expected);
        }
    }
}
