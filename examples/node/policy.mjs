// A policy in JavaScript: halves the LR when the loss of a window is no better than the one before.
//
//   node policy.mjs RUN [ADDRESS] [WINDOW]
import { loadPackageDefinition, credentials } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { fileURLToPath } from "node:url";

const [run = "digits", address = "127.0.0.1:50051", window = 500] = process.argv.slice(2);
const protos = fileURLToPath(new URL("../../proto", import.meta.url));
const definition = loadSync("rheostat/v1/policies.proto", {
  includeDirs: [protos], keepCase: true, longs: Number, defaults: true, oneofs: true,
});
const { Policies } = loadPackageDefinition(definition).rheostat.v1;

let factor = 1, losses = [], before = Infinity;

const stream = new Policies(address, credentials.createInsecure()).ConnectPolicy();
stream.write({ hello: { run, policy: "node", schema_version: 1 } });

stream.on("data", ({ welcome, observation }) => {
  if (welcome) {
    console.log(`steering ${welcome.run} from step ${welcome.step} of ${welcome.steps} on`);
    return;
  }
  const { step, train_loss } = observation;
  losses.push(train_loss);
  if (losses.length < Number(window)) return; // an observation need not be answered

  const mean = losses.reduce((sum, loss) => sum + loss) / losses.length;
  if (mean >= before && factor > 0.01) {
    factor /= 2;
    const reason = `mean loss ${mean.toPrecision(3)}, after ${before.toPrecision(3)}`;
    stream.write({ action: { step, factor, ramp_steps: 20, reason } });
    console.log(`step ${step}: factor ${factor}, ${reason}`);
  }
  [before, losses] = [mean, []];
});
stream.on("end", () => console.log(`${run} has ended`));
stream.on("error", ({ code, details }) => {
  console.error(details);
  process.exitCode = code;
});
