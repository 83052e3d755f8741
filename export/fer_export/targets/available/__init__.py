"""The targets: one module each, or one for a family, with its ``TARGET`` record (or a tuple of records).

A new target is one new file here, for example ``toy.py``::

    from fer_export.targets.spec import Target


    def convert(job):
        from fer_export.targets.job import Conversion  # late: --target list reads this file, too

        path = job.out / "fer_int8.toy"
        path.write_bytes(job.int8_tflite.read_bytes())
        return Conversion(path, "toy compiler 1.0", accelerator_operators=65, cpu_operators=0)


    def check(job, conversion):
        from fer_export.targets.judging import judge

        return judge(job, conversion, target="toy", arithmetic="own", computed_by="toy simulator", compute=...)


    TARGET = Target("toy", "Toy board", "toy compiler 1.0", "size", "own", convert, check, extra="vela")

``--target list``, the gate, the manifest and both reports read that record. Modules whose names begin with ``_`` hold
what several targets share.
"""
