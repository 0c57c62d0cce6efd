// The link that a client uses: a pipelined socket, or HTTP once it is clear that no socket opens.
import type { Http } from './http.ts';
import type {
  Link,
  LinkOptions,
  LinkRequest,
  LinkResult,
  LinkWatch,
  Refused,
  RequestOptions,
  WatchSink,
  WatchSpec,
} from './link.ts';
import type { Settings } from './options.ts';
import type { SessionState } from './session-state.ts';
import { SocketLink } from './socket-link.ts';

export class Channel implements Link {
  readonly http: Http;
  #link: Link;
  readonly #watches = new Map<WatchSink, LinkWatch>();

  constructor(http: Http, settings: Settings, options: LinkOptions) {
    this.http = http;
    const fallBack = async ({ entries, watches, session }: Refused) => {
      // Few clients need it, so it is loaded only then.
      const { HttpLink } = await import('./http-link.ts');
      const link = new HttpLink(http, settings, options);
      this.#link = link;
      for (const { request, resolve, reject } of entries) link.request(request).then(resolve, reject);
      for (const { spec, sink } of watches) this.#watches.set(sink, link.watch(spec, sink));
      if (session) link.session().then(session.resolve, session.reject);
    };
    this.#link = new SocketLink(http, settings, options, (refused) => void fallBack(refused));
  }

  request<T>(request: LinkRequest, options?: RequestOptions): Promise<LinkResult<T>> {
    return this.#link.request(request, options);
  }

  watch(spec: WatchSpec, sink: WatchSink): LinkWatch {
    this.#watches.set(sink, this.#link.watch(spec, sink));
    return {
      pause: () => this.#watches.get(sink)?.pause(),
      resume: () => this.#watches.get(sink)?.resume(),
      end: () => {
        this.#watches.get(sink)?.end();
        this.#watches.delete(sink);
      },
    };
  }

  session(signal?: AbortSignal): Promise<SessionState> {
    return this.#link.session(signal);
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
