# Instructions that a lane spends on a request, counted by callgrind in the daemon's own process on a private stack. Two lives of
# a process are compared, which differ in the number of requests alone, so that starting and stopping fall out. It must never
# count a process that has answered anything else.
package Battlepass::Callgrind;

use strict;
use warnings;

use Battlepass::Stack;
use Carp qw(croak);
use Cwd qw(abs_path);
use File::Temp qw(tempdir);

use constant {
    FEW => 100,
    MANY => 600,
    ENDS_WITHIN_S => 20,
};

# libc and OpenSSL have some functions several times and choose by the processor; these are the same on all of them.
my %plain_functions = (
    GLIBC_TUNABLES => 'glibc.cpu.hwcaps=-AVX2,-AVX,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-BMI2,-LZCNT,-RTM',
    OPENSSL_ia32cap => '~0x1000000000000000:0',
);

# One process a lane; waiting is longer than under callgrind it takes.
my $config = join '', (map { "${_}_lane {\n\tprocesses = 1\n}\n" } qw(read store purchase admin)),
    "cache {\n\tturn_timeout_ms = 1000\n\tconnect_timeout_ms = 1000\n}\n";

# build: folder of the programs.
sub new {
    my ($class, %options) = @_;
    my $scratch = tempdir('battlepass-callgrind-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { scratch => $scratch, build => abs_path($options{build}) }, $class;
    for my $name (qw(battlepassctl economy-sandbox)) {
        symlink "$self->{build}/$name", "$scratch/$name" or croak "$name: $!";
    }
    $self->_write_daemon(%plain_functions);
    $self->{s} = Battlepass::Stack->new(build => $scratch, config => $config);
    return $self;
}

sub stack { return $_[0]{s} }

# What t/stack starts in the daemon's place. Counting begins with the lane's loop: a child has its parent's counts at first.
sub _write_daemon {
    my ($self, %environment) = @_;
    my $file = "$self->{scratch}/battlepassd";
    open my $out, '>', $file or croak "$file: $!";
    print {$out} "#!/bin/sh\n", (map { "export $_='$environment{$_}'\n" } sort keys %environment),
        "exec valgrind --quiet --tool=callgrind --zero-before=lane_run --callgrind-out-file='$self->{scratch}/%p.out' \\\n",
        "\t'$self->{build}/battlepassd' \"\$@\"\n";
    close $out or croak "$file: $!";
    chmod 0755, $file;
    return;
}

# From now on with this library before all others.
sub preload {
    my ($self, $library) = @_;
    $self->_write_daemon(%plain_functions, LD_PRELOAD => $library);
    $self->{s}->restart('battlepassd');
    return;
}

# --- a process's life ---

# The one process of the lane.
sub process {
    my ($self, $lane) = @_;
    my $pid = $self->{s}->wait_until(ENDS_WITHIN_S, sub {
        for my $pid (keys %{ $self->{s}->workers }) {
            open my $in, '<', "/proc/$pid/comm" or next;
            return $pid if <$in> eq "bp-$lane\n";
        }
        return undef;
    });
    return $pid // croak "no process of the $lane lane";
}

# Ends the lane's process; the master replaces it, and the new one has answered nothing. What it had spent.
sub _end {
    my ($self, $lane) = @_;
    my $pid = $self->process($lane);
    my $file = "$self->{scratch}/$pid.out";
    kill TERM => $pid or croak "$pid: $!";
    $self->{s}->wait_until(ENDS_WITHIN_S, sub { !-e "/proc/$pid" }) or croak "$pid does not end";
    return read_costs($file);
}

# Costs of the lane's process in a life in which the code runs.
sub _life {
    my ($self, $lane, $code, $count) = @_;
    $self->process($lane);
    $code->($count);
    return $self->_end($lane);
}

# Instructions for each of the things that the code makes the lane do as often as it is told: `total`, and `functions` (the
# function and its object => those spent in itself). What the code makes anybody do once only has to be done before.
sub cost {
    my ($self, $lane, $code) = @_;
    $self->_end($lane); # whatever it has done so far
    my ($few, $many) = map { $self->_life($lane, $code, $_) } FEW, MANY;
    my $each = sub { return ($_[1] - $_[0]) / (MANY - FEW) };
    my %functions = map { $_ => $each->($few->{functions}{$_} // 0, $many->{functions}{$_} // 0) }
        keys %{ { %{ $few->{functions} }, %{ $many->{functions} } } };
    my $total = $each->($few->{total}, $many->{total});
    croak "$lane lane: @{[MANY]} cost less than @{[FEW]}, which did something that is done once" if $total <= 0;
    return { total => $total, functions => \%functions };
}

# --- callgrind's file ---

# A line of costs is a position and a number; the one behind "calls=" is what the called function cost. Names are given once,
# with a number that stands for them from then on.
sub read_costs {
    my ($file) = @_;
    open my $in, '<', $file or croak "$file: $!";
    my (%names, %functions, $object, $function, $total, $is_call);
    while (my $line = <$in>) {
        if ($line =~ /^c?(ob|fn)=(\(\d+\))(?: (.*))?$/) {
            my ($kind, $number, $name) = ($1, $2, $3);
            $names{$kind}{$number} = $name if defined $name;
            next if $line =~ /^c/;
            if ($kind eq 'ob') { $object = $names{ob}{$number} } else { $function = $names{fn}{$number} }
        } elsif ($line =~ /^calls=/) {
            $is_call = 1;
        } elsif ($line =~ /^[-+*\d]\S* (\d+)$/) {
            $functions{ _label($function, $object) } += $1 unless $is_call;
            $is_call = 0;
        } elsif ($line =~ /^totals: (\d+)$/) {
            $total = $1;
        }
    }
    croak "$file has no total" unless defined $total;
    return { total => $total, functions => \%functions };
}

sub _label {
    my ($function, $object) = @_;
    return sprintf '%s %s', $function =~ s/'\d+$//r, $object =~ s{^.*/}{}r;
}

1;
