// Activities that the scenarios of the tests run. The Python side has the same ones under the same names.

const { ApplicationFailure, Context, CompleteAsyncError, heartbeat, activityInfo, sleep } = require('@temporalio/activity');

/** What `gated` waits for, by name; the driver's operation `open_gate` opens them. */
const gates = new Map();

function gate(name) {
  if (!gates.has(name)) {
    const made = {};
    made.opened = new Promise((resolve) => (made.open = resolve));
    gates.set(name, made);
  }
  return gates.get(name);
}

module.exports = {
  gate,
  activities: {
    async greet(name) {
      return `Hello, ${name}!`;
    },

    /** Fails until the given attempt, whose number it answers. */
    async fail_until(attempt) {
      const current = activityInfo().attempt;
      if (current < attempt) throw ApplicationFailure.create({ message: `attempt ${current}`, type: 'TooEarly' });
      return current;
    },

    async fail_for_good() {
      throw ApplicationFailure.nonRetryable('no use trying again', 'Hopeless');
    },

    /** Heartbeats at its first attempt, then fails; its second attempt answers what it was told of the first. */
    async remember() {
      if (activityInfo().attempt === 1) {
        heartbeat(['half', 'way']);
        throw ApplicationFailure.create({ message: 'retry me', type: 'Retry' });
      }
      return activityInfo().heartbeatDetails;
    },

    /** Never ends by itself, never heartbeats. */
    async hang() {
      await Context.current().cancelled;
    },

    async heartbeat_until_cancelled() {
      const beat = async () => {
        for (;;) {
          heartbeat();
          await sleep(50);
        }
      };
      return await beat().catch(() => 'noticed');
    },

    async complete_elsewhere() {
      throw new CompleteAsyncError();
    },

    async gated(name) {
      await gate(name).opened;
      return `through ${name}`;
    },
  },
};
