-- The nodes below the root that belong to the service, with all that is below them: users read and watch them, and do not write them.
local RESERVED = {
  brokers = true,
  controller = true,
  controller_epoch = true,
  cluster = true,
  consumers = true,
  config = true,
  admin = true,
}
