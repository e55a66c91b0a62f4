;; A component of `rustok:module@1.0.0`, which runs the section `run` and answers with an empty text, unless the section
;; returns something else. Memory as in the frame `event`; $invoke takes addresses and lengths of capability,
;; operation and input, and the address for its result.
(component
  (import "rustok:module/host@1.0.0" (instance $host
    (export "invoke" (func (param "capability" string) (param "operation" string) (param "input" string)
      (result (result string (error string)))))))
  (core module $memory-module
    ;;@memory (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (if (i32.gt_u (i32.add (global.get $free) (local.get 3)) (i32.const 130000))
        (then (global.set $free (i32.const 65536))))
      (global.get $free)
      (global.set $free
        (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)) (i32.const -8)))))
  (core instance $memory (instantiate $memory-module))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $invoke-lowered (canon lower (func $host "invoke") (memory $mem) (realloc $realloc)))

  (core module $guest-module
    (import "memory" "memory" (memory 0))
    (import "host" "invoke" (func $invoke (param i32 i32 i32 i32 i32 i32 i32)))
    ;;@core
    ;; Answers with a text, as success (0) or as failure (1).
    (func $answer (param $failed i32) (param $text i32) (param $bytes i32) (result i32)
      (i32.store (i32.const 2048) (local.get $failed))
      (i32.store (i32.const 2052) (local.get $text))
      (i32.store (i32.const 2056) (local.get $bytes))
      (i32.const 2048))
    (func (export "run") (param $input i32) (param $bytes i32) (result i32)
      ;;@local
      ;;@run
      (call $answer (i32.const 0) (i32.const 1024) (i32.const 0))))
  (core instance $guest (instantiate $guest-module
    (with "memory" (instance $memory))
    (with "host" (instance (export "invoke" (func $invoke-lowered))))))
  (func (export "run") (param "input" string) (result (result string (error string)))
    (canon lift (core func $guest "run") (memory $mem) (realloc $realloc)))
)
