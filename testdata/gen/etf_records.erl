%% Native records for etf_vectors; compiles from OTP 29 on.
-module(etf_records).
-export([terms/0]).
-export_record([shown]).
-record #shown{a = 1, b}.
-record #empty{}.
-record #'Odd name'{'Field x' = "abc"}.

terms() -> [#shown{b = <<"x">>}, #empty{}, #'Odd name'{}, [#shown{b = #empty{}}, {#'Odd name'{}}]].
