// live-configuration.mjs APPLICATION: prints the settings as a line of JSON, and again at each transaction that changes them
import { Weir } from '@weirkeeper/client';
import { config } from '@weirkeeper/client/recipes';

const [application] = process.argv.slice(2);
const weir = Weir.fromEnv();
const print = (settings) => console.log(JSON.stringify(Object.fromEntries(Object.entries(settings).sort())));
const settings = await config(weir, application);
print(settings.value);
settings.onChange(print);
process.once('SIGTERM', () => weir.close());
