;; Loops for ever when it is to get ready.
;;@frame event
;;@wire
(core module $ready-module (func (export "init") (param i32 i32) (result i32) (loop $for_ever (br $for_ever)) (i32.const 0)))
(core instance $ready (instantiate $ready-module))
(func $init (param "config" (list (tuple string string))) (result (result (error string)))
  (canon lift (core func $ready "init") (memory $mem) (realloc $realloc)))
(instance $lifecycle (export "init" (func $init)))
(export "guesthouse:handler/lifecycle@0.1.0" (instance $lifecycle))
