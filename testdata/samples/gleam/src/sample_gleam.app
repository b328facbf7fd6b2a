{application, sample_gleam,
 [{description, "Beamkeeper's sample in the layout of gleam export erlang-shipment"},
  {vsn, "@VERSION@"},
  {registered, [sample_gleam_counter]},
  {applications, [kernel, stdlib]},
  {modules, [sample_gleam, 'sample_gleam@@main']},
  {env, []}]}.
