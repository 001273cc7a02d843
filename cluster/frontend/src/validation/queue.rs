//! Names of task queues (api 10.1).

use proto::temporal::api::{enums::v1::TaskQueueKind, taskqueue::v1::TaskQueue};

use super::{Check, limits::Sizes, refuse};

/// A queue of the caller's, by its name; one worker's own queue has beside it the name of the queue that all share.
pub(crate) fn task_queue(queue: Option<&TaskQueue>, sizes: Sizes) -> Check {
    let Some(queue) = queue else { return refuse("taskQueue is not set") };
    if queue.name.is_empty() {
        return refuse("missing task queue name");
    }
    name(&queue.name, sizes)?;
    if queue.kind() == TaskQueueKind::Sticky { name(&queue.normal_name, sizes) } else { Ok(()) }
}

fn name(name: &str, sizes: Sizes) -> Check {
    if sizes.id < name.len() {
        return refuse("taskQueue length exceeds limit");
    }
    if name.starts_with(RESERVED) {
        return refuse(format!("task queue name cannot start with reserved prefix {RESERVED}"));
    }
    Ok(())
}

const RESERVED: &str = "/_sys/";

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[test]
    fn queues() {
        let check = |name: &str, kind: TaskQueueKind, normal: &str, expected: Option<&str>| {
            let queue = TaskQueue { name: name.into(), kind: kind.into(), normal_name: normal.into() };
            assert_eq!(text(task_queue(Some(&queue), Sizes::default())).as_deref(), expected, "{queue:?}");
        };
        let long = "x".repeat(1001);
        assert_eq!(text(task_queue(None, Sizes::default())).as_deref(), Some("taskQueue is not set"));
        check("", TaskQueueKind::Unspecified, "", Some("missing task queue name"));
        check("orders", TaskQueueKind::Normal, "", None);
        check(" ", TaskQueueKind::Normal, "", None);
        check(&long, TaskQueueKind::Normal, "", Some("taskQueue length exceeds limit"));
        let reserved = Some("task queue name cannot start with reserved prefix /_sys/");
        check("/_sys/orders/1", TaskQueueKind::Normal, "", reserved);
        check("host:1", TaskQueueKind::Sticky, "orders", None);
        check("host:1", TaskQueueKind::Sticky, "", None);
        check("host:1", TaskQueueKind::Sticky, &long, Some("taskQueue length exceeds limit"));
        check("host:1", TaskQueueKind::Sticky, "/_sys/orders/1", reserved);
        check("orders", TaskQueueKind::Normal, &long, None);
        check("temporal-sys/worker-commands/orders/key", TaskQueueKind::Normal, "", None);
    }
}
