// The shapes of responses, from the schemas.
import type { z } from 'zod';
import type { brokersResponse, clusterResponse } from '../../schemas/cluster.ts';

export type Cluster = z.output<typeof clusterResponse>;
export type Brokers = z.output<typeof brokersResponse>;
