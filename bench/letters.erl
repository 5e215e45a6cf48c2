%% letters.erl - the peer of letters.c: two processes of one node, the same contents as maps.
%%   erl -noshell +S 1 -run letters main ask|tell N       prints nanoseconds a letter
-module(letters).
-export([main/1]).

main([How, Count]) ->
    N = list_to_integer(Count),
    Reader = spawn_opt(fun() -> reader(0) end, [link]),
    Began = erlang:monotonic_time(nanosecond),
    case How of
        "ask" -> ask(Reader, N);
        "tell" -> tell(Reader, N)
    end,
    Spent = erlang:monotonic_time(nanosecond) - Began,
    io:format("~.2f~n", [Spent / N]),
    halt(0).

ask(_, 0) -> ok;
ask(Reader, N) ->
    Ref = make_ref(),
    Reader ! {ask, self(), Ref, image_drop, #{vm => <<"k3x9q2">>}},
    receive {answer, Ref, ok} -> ask(Reader, N - 1) end.

tell(Reader, 0) ->
    Reader ! {done, self()},
    receive {seen, _} -> ok end;
tell(Reader, N) ->
    Reader ! {tell, stream_credit, #{stream => 7, ch => 1, bytes => 32768}},
    tell(Reader, N - 1).

reader(Seen) ->
    receive
        {ask, From, Ref, image_drop, #{vm := Vm}} when is_binary(Vm) ->
            From ! {answer, Ref, ok},
            reader(Seen);
        {tell, stream_credit, #{stream := S, ch := C, bytes := B}} when S > 0, C < 3, B > 0 ->
            reader(Seen + 1);
        {done, From} ->
            From ! {seen, Seen},
            reader(Seen)
    end.
