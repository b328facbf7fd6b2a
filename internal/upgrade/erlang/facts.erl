%% What a plan wants to know of the node, besides processes.
{code:root_dir(), erlang:system_info(version), erlang:system_info(otp_release),
 [{A, V} || {A, _, V} <- application:which_applications()],
 code:which(systools) =/= non_existing andalso code:which(systools_relup) =/= non_existing,
 erlang:system_info(process_count), erlang:memory(total), init:script_id()}.
