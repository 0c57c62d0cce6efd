// The URLs and resource names that objects of version 3 carry: each object links to itself and to what belongs to it.
import type { FastifyRequest } from 'fastify';

/** A link to other objects. */
interface Related {
  related: string;
}

/** What every object has first. */
interface Resource {
  kind: string;
  metadata: { self: string; resource_name: string | null };
}

/** A name and the id of an object, or a name that needs none, in the order of the path. */
type Name = readonly [type: string, id: string | number] | string;

/** Makes the links of one response: they begin as the URL that its client asked for. */
export class Links {
  readonly #base: string;
  /** The id of the cluster. */
  readonly cluster: string;

  /** @param advertisedUrl under which clients reach the cluster; absent: the name under which this one has asked */
  constructor(request: FastifyRequest, cluster: string, advertisedUrl: string | undefined) {
    const origin = advertisedUrl ?? `${request.protocol}://${request.host}`;
    const [prefix] = request.routeOptions.url?.split('/clusters') ?? [];
    this.#base = `${origin}${prefix}/clusters`;
    this.cluster = cluster;
  }

  /** The list of clusters. */
  get clusters(): string {
    return this.#base;
  }

  /** A URL below that of the cluster. */
  url(...segments: readonly (string | number)[]): string {
    return [this.#base, this.cluster, ...segments].map((segment, i) => (i === 0 ? segment : encode(segment))).join('/');
  }

  to(...segments: readonly (string | number)[]): Related {
    return { related: this.url(...segments) };
  }

  /** The beginning of an object of the cluster: its kind, URL and resource name. */
  resource(kind: string, path: readonly (string | number)[], names: readonly Name[]): Resource {
    const parts = [['kafka', this.cluster] as const, ...names].map((name) =>
      typeof name === 'string' ? name : `${name[0]}=${name[1]}`,
    );
    return { kind, metadata: { self: this.url(...path), resource_name: `crn:///${parts.join('/')}` } };
  }
}

/** A segment `-` stands for all. */
function encode(segment: string | number): string {
  return encodeURIComponent(segment);
}

/** A list of objects. All are on its one page. */
export function list<T extends { kind: string }>(kind: string, self: string, data: readonly T[]) {
  return { kind: `${kind}List`, metadata: { self, next: null }, data };
}
