// Holds a Knative service, as JSON on standard input, to the schema of its resource definition.
import { readFileSync } from 'node:fs';
import { Service } from '@kubernetes-models/knative/serving.knative.dev/v1/Service';

try {
  new Service(JSON.parse(readFileSync(0, 'utf8'))).validate();
  console.log('0 wrong');
} catch (error) {
  console.log(`1 wrong: ${error.message}`);
}
