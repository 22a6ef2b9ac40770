/** A batch is cut into some eight shards: more threads would find nothing to do. */
export const mostThreads = 8;
