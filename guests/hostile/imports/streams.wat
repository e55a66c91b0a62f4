;; $get_stdout, $get_stderr, $write (stream, bytes at, count, result at), $subscribe.
;;@import
(import "wasi:io/error@0.2.6" (instance $io-error (export "error" (type (sub resource)))))
(alias export $io-error "error" (type $error))
(import "wasi:io/poll@0.2.6" (instance $poll
  (export "pollable" (type $pollable (sub resource)))
  (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
  (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:io/streams@0.2.6" (instance $streams
  (alias outer 1 $error (type $outer-error))
  (export "error" (type $error (eq $outer-error)))
  (alias outer 1 $pollable (type $outer-pollable))
  (export "pollable" (type $pollable (eq $outer-pollable)))
  (export "output-stream" (type $output-stream (sub resource)))
  (type $named (variant (case "last-operation-failed" (own $error)) (case "closed")))
  (export "stream-error" (type $stream-error (eq $named)))
  (export "[method]output-stream.subscribe" (func (param "self" (borrow $output-stream)) (result (own $pollable))))
  (export "[method]output-stream.write" (func
    (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
(alias export $streams "output-stream" (type $output-stream))
(import "wasi:cli/stdout@0.2.6" (instance $stdout
  (alias outer 1 $output-stream (type $outer))
  (export "output-stream" (type $output-stream (eq $outer)))
  (export "get-stdout" (func (result (own $output-stream))))))
(import "wasi:cli/stderr@0.2.6" (instance $stderr
  (alias outer 1 $output-stream (type $outer))
  (export "output-stream" (type $output-stream (eq $outer)))
  (export "get-stderr" (func (result (own $output-stream))))))
;;@lower
(core func $stdout-lowered (canon lower (func $stdout "get-stdout")))
(core func $stderr-lowered (canon lower (func $stderr "get-stderr")))
(core func $write-lowered (canon lower (func $streams "[method]output-stream.write") (memory $mem)))
(core func $subscribe-lowered (canon lower (func $streams "[method]output-stream.subscribe")))
(core func $block-lowered (canon lower (func $poll "[method]pollable.block")))
(core func $poll-lowered (canon lower (func $poll "poll") (memory $mem) (realloc $realloc)))
;;@core-import
(import "streams" "stdout" (func $get_stdout (result i32)))
(import "streams" "stderr" (func $get_stderr (result i32)))
(import "streams" "write" (func $write (param i32 i32 i32 i32)))
(import "streams" "subscribe" (func $subscribe (param i32) (result i32)))
(import "streams" "block" (func $block (param i32)))
(import "streams" "poll" (func $poll (param i32 i32 i32)))
;;@core-with
(with "streams" (instance
  (export "stdout" (func $stdout-lowered)) (export "stderr" (func $stderr-lowered))
  (export "write" (func $write-lowered)) (export "subscribe" (func $subscribe-lowered))
  (export "block" (func $block-lowered)) (export "poll" (func $poll-lowered))))
